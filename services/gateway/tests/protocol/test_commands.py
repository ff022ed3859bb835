"""Every command is read from JSON; whatever is wrong is told with its code and the field's name, and nothing else is raised."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.cursor import Cursor
from common.errors import ErrorCode
from gateway.protocol.commands import (
    MAX_CHANNELS,
    Authenticate,
    Command,
    CommandError,
    ListSubscriptions,
    Ping,
    Subscribe,
    Unsubscribe,
    UnsubscribeAll,
    parse_command,
)
from services.gateway.tests.roles import examples, room


def parse(message: object, **options: int) -> Command:
    return parse_command(json.dumps(message).encode(), **options)


BTC = {"tokenIds": ["btc"]}

COMMANDS: list[tuple[object, Command]] = [
    ({"type": "authenticate", "auth": {"apiKey": "k"}}, Authenticate(None, "k")),
    ({"type": "auth", "auth": {"apiKey": "k"}}, Authenticate(None, "k")),
    ({"type": "authenticate", "apiKey": "k"}, Authenticate(None, "k")),
    ({"type": "authenticate", "api_key": "k"}, Authenticate(None, "k")),
    ({"auth": {"apiKey": "k"}}, Authenticate(None, "k")),
    ({"auth": {"api_key": " k "}, "id": "a"}, Authenticate("a", "k")),
    ({"type": "subscribe", "id": 1, "channel": "prices"}, Subscribe(1, (room("prices"),))),
    (
        {"type": "subscribe", "channel": "prices", "filters": BTC},
        Subscribe(None, (room("prices", tokenIds=["btc"]),)),
    ),
    ({"type": "subscribe", "channel": "prices", "filters": None}, Subscribe(None, (room("prices"),))),
    ({"type": "subscribe", "channel": "prices", "filters": {}}, Subscribe(None, (room("prices"),))),
    (
        {"type": "subscribe", "channel": "prices", "since": None, "snapshot": False},
        Subscribe(None, (room("prices"),)),
    ),
    (
        {"type": "subscribe", "channel": "protocol:Aave-V3"},
        Subscribe(None, (room("protocols", protocolIds=["aave-v3"]),)),
    ),
    (
        {"type": "subscribe", "channels": ["tvl", "alerts"], "filters": {"chains": ["BASE"]}},
        Subscribe(None, (room("tvl", chains=["base"]), room("alerts", chains=["base"]))),
    ),
    ({"type": "subscribe", "channels": ["tvl", "tvl"]}, Subscribe(None, (room("tvl"),))),
    ({"type": "unsubscribe", "channel": "tvl"}, Unsubscribe(None, room("tvl").id)),
    (
        {"type": "unsubscribe", "channel": "prices", "filters": BTC},
        Unsubscribe(None, room("prices", tokenIds=["btc"]).id),
    ),
    ({"type": "unsubscribe", "room": "prices:0123"}, Unsubscribe(None, "prices:0123")),
    ({"type": "unsubscribe_all", "id": "x"}, UnsubscribeAll("x")),
    ({"type": "list", "id": 0}, ListSubscriptions(0)),
    ({"type": "ping", "id": -5}, Ping(-5)),
    ({"type": "ping", "id": None}, Ping(None)),
    ({"type": "ping", "unheard": {"of": [1, 2]}}, Ping(None)),
    ({"type": "ping", "id": "i" * 64}, Ping("i" * 64)),
]


@pytest.mark.parametrize(("message", "command"), COMMANDS, ids=lambda value: json.dumps(value, default=repr)[:60])
def test_a_command_is_read(message, command):
    assert parse(message) == command


def subscribe(**fields: object) -> dict[str, object]:
    return {"type": "subscribe", "channel": "prices", **fields}


NOT_CURSORS: tuple[object, ...] = ("", "k3f9", "k3f9.0", "k3f9.1:2,0:1", 7, [])
NOT_FLAGS: tuple[object, ...] = (1, "true", {})
ERRORS: list[tuple[object, ErrorCode, str | None]] = [
    ([], ErrorCode.BAD_REQUEST, None),
    ("ping", ErrorCode.BAD_REQUEST, None),
    (None, ErrorCode.BAD_REQUEST, None),
    (7, ErrorCode.BAD_REQUEST, None),
    ({}, ErrorCode.BAD_REQUEST, "type"),
    ({"type": None}, ErrorCode.BAD_REQUEST, "type"),
    ({"type": 7}, ErrorCode.BAD_REQUEST, "type"),
    ({"type": ["ping"]}, ErrorCode.BAD_REQUEST, "type"),
    ({"type": "pong"}, ErrorCode.UNKNOWN_TYPE, "type"),
    ({"type": "Ping"}, ErrorCode.UNKNOWN_TYPE, "type"),
    ({"type": "ping", "id": True}, ErrorCode.BAD_REQUEST, "id"),
    ({"type": "ping", "id": 1.5}, ErrorCode.BAD_REQUEST, "id"),
    ({"type": "ping", "id": {}}, ErrorCode.BAD_REQUEST, "id"),
    ({"type": "ping", "id": "i" * 65}, ErrorCode.BAD_REQUEST, "id"),
    ({"type": "ping", "id": 10**40}, ErrorCode.BAD_REQUEST, "id"),
    ({"type": "authenticate"}, ErrorCode.API_KEY_REQUIRED, "apiKey"),
    ({"type": "authenticate", "apiKey": ""}, ErrorCode.API_KEY_REQUIRED, "apiKey"),
    ({"type": "authenticate", "apiKey": "  "}, ErrorCode.API_KEY_REQUIRED, "apiKey"),
    ({"type": "authenticate", "apiKey": 5}, ErrorCode.BAD_REQUEST, "apiKey"),
    ({"type": "authenticate", "apiKey": "k" * 1025}, ErrorCode.BAD_REQUEST, "apiKey"),
    ({"type": "authenticate", "auth": {}}, ErrorCode.API_KEY_REQUIRED, "auth.apiKey"),
    ({"type": "authenticate", "auth": {"apiKey": 5}}, ErrorCode.BAD_REQUEST, "auth.apiKey"),
    ({"type": "authenticate", "auth": "k"}, ErrorCode.BAD_REQUEST, "auth"),
    ({"auth": None}, ErrorCode.API_KEY_REQUIRED, "apiKey"),
    ({"type": "subscribe"}, ErrorCode.BAD_REQUEST, "channel"),
    ({"type": "subscribe", "channel": None}, ErrorCode.BAD_REQUEST, "channel"),
    ({"type": "subscribe", "channel": 5}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
    ({"type": "subscribe", "channel": "prizes"}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
    ({"type": "subscribe", "channel": "system"}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
    ({"type": "subscribe", "channel": "protocol: "}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
    (subscribe(channels=["tvl"]), ErrorCode.BAD_REQUEST, "channels"),
    ({"type": "subscribe", "channels": []}, ErrorCode.BAD_REQUEST, "channels"),
    ({"type": "subscribe", "channels": "tvl"}, ErrorCode.BAD_REQUEST, "channels"),
    ({"type": "subscribe", "channels": ["tvl"] * (MAX_CHANNELS + 1)}, ErrorCode.BAD_REQUEST, "channels"),
    ({"type": "subscribe", "channels": ["tvl", "no"]}, ErrorCode.UNKNOWN_CHANNEL, "channels[1]"),
    ({"type": "subscribe", "channels": ["tvl", None]}, ErrorCode.UNKNOWN_CHANNEL, "channels[1]"),
    (subscribe(filter={}), ErrorCode.BAD_REQUEST, "filter"),
    (subscribe(filters=[]), ErrorCode.INVALID_FILTER, "filters"),
    (subscribe(filters={"color": 1}), ErrorCode.INVALID_FILTER, "filters.color"),
    (subscribe(filters={"chains": []}), ErrorCode.INVALID_FILTER, "filters.chains"),
    (subscribe(filters={"chains": ["a", 5]}), ErrorCode.INVALID_FILTER, "filters.chains[1]"),
    (subscribe(filters={"tokenIds": ["t"] * 101}), ErrorCode.INVALID_FILTER, "filters.tokenIds"),
    (subscribe(filters={"minValue": "1"}), ErrorCode.INVALID_FILTER, "filters.minValue"),
    (subscribe(filters={"minValue": 2, "maxValue": 1}), ErrorCode.INVALID_FILTER, "filters.minValue"),
    (subscribe(filters={"userId": " "}), ErrorCode.INVALID_FILTER, "filters.userId"),
    *((subscribe(since=since), ErrorCode.BAD_REQUEST, "since") for since in NOT_CURSORS),
    (subscribe(since="k3f9.0:1,"), ErrorCode.BAD_REQUEST, "since"),
    (subscribe(since="k3f9.0:99999999999999999999"), ErrorCode.BAD_REQUEST, "since"),
    ({"type": "subscribe", "channels": ["prices", "tvl"], "since": "k3f9.0:1"}, ErrorCode.BAD_REQUEST, "since"),
    *((subscribe(snapshot=value), ErrorCode.BAD_REQUEST, "snapshot") for value in NOT_FLAGS),
    ({"type": "subscribe", "channel": "alerts", "snapshot": True}, ErrorCode.BAD_REQUEST, "snapshot"),
    ({"type": "subscribe", "channels": ["tvl", "alerts"], "snapshot": True}, ErrorCode.BAD_REQUEST, "snapshot"),
    ({"type": "unsubscribe"}, ErrorCode.BAD_REQUEST, "channel"),
    ({"type": "unsubscribe", "room": 5}, ErrorCode.BAD_REQUEST, "room"),
    ({"type": "unsubscribe", "channel": "no"}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
    ({"type": "unsubscribe", "channel": "tvl", "filter": {}}, ErrorCode.BAD_REQUEST, "filter"),
]


@pytest.mark.parametrize(("message", "code", "field"), ERRORS, ids=lambda value: json.dumps(value)[:60])
def test_what_is_wrong_is_told_with_its_code_and_field(message, code, field):
    with pytest.raises(CommandError) as wrong:
        parse(message)
    assert (wrong.value.code, wrong.value.field) == (code, field)


def test_a_cursor_and_a_snapshot_are_read():
    command = parse(subscribe(since="k3f9.0:1,3:18231", snapshot=True))
    assert isinstance(command, Subscribe)
    assert (command.since, command.snapshot) == (Cursor("k3f9", {0: 1, 3: 18231}), True)


def test_an_error_carries_the_id_of_its_command():
    with pytest.raises(CommandError) as wrong:
        parse({"type": "subscribe", "id": "mine", "channel": "no"})
    assert wrong.value.id == "mine"
    with pytest.raises(CommandError) as wrong:
        parse({"type": "authenticate", "id": 9})
    assert wrong.value.id == 9


def test_a_key_may_have_more_values_in_a_filter():
    message = subscribe(filters={"tokenIds": [str(number) for number in range(101)]})
    command = parse(message, max_values=101)
    assert isinstance(command, Subscribe)
    assert len(command.rooms[0].filter.token_ids) == 101


def test_a_position_tells_where_json_broke():
    with pytest.raises(CommandError, match=r"not JSON: .* at character 8"):
        parse_command(b'{"type":}')


def read(text: bytes) -> Command | CommandError:
    """What the parser makes of a message; any other exception fails the test."""
    try:
        return parse_command(text)
    except CommandError as error:
        return error


@examples
@given(st.binary(max_size=200))
@example(b"")
@example(b"[" * 30_000)
@example(b'{"a":' * 5_000 + b"1" + b"}" * 5_000)
@example(b'{"type":"ping","id":' + b"9" * 5000 + b"}")
@example(b'{"type":"subscribe","channel":"prices","filters":{"minValue":' + b"9" * 5000 + b"}}")
@example(b'{"type":"subscribe","channel":"prices","filters":{"minValue":1e999}}')
@example(b'{"type":"subscribe","channel":"prices","filters":{"minValue":NaN}}')
@example(b'{"type":"\\ud800"}')
@example(b'{"type":"ping","id":"\\udfff"}')
@example(b'{"type":"ping","type":"list"}')
@example(b'{"type":"\xff"}')
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_a_command_or_an_error(text):
    outcome = read(text)
    assert not isinstance(outcome, CommandError) or (outcome.message and "\n" not in outcome.message)


NAMES = ("type", "id", "auth", "apiKey", "channel", "channels", "filters", "filter", "room", "since", "snapshot")
WORDS = ("auth", "authenticate", "subscribe", "unsubscribe", "unsubscribe_all", "list", "ping", "prices", "protocol:x")
FILTER_NAMES = ("chains", "tokenIds", "protocolIds", "userId", "minValue", "maxValue")
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(WORDS))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from((*FILTER_NAMES, *NAMES)), st.text(max_size=4)), inner, max_size=4),
    ),
    max_leaves=8,
)


@examples
@given(st.one_of(VALUES, st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)))
def test_any_json_is_a_command_or_an_error_whose_field_was_given_or_is_needed(message):
    outcome = read(json.dumps(message).encode("utf-8", "surrogatepass"))
    if isinstance(outcome, CommandError) and outcome.field is not None:
        assert outcome.field.startswith(NAMES)
