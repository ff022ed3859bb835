"""Bad input from clients: the answer names what is wrong, and the connection stays where the protocol allows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.raw_socket import RawSocket
from tests.support.samples import unique
from tests.support.system import System

TEXT, CONTINUATION = 1, 0


async def _still_serves(client: Client) -> None:
    """The connection is open, authenticated, and does what it is told."""
    await client.subscribe("prices", {"tokenIds": [unique("token")]})


async def _answer_to(client: Client, text: str | bytes) -> dict[str, Any]:
    await client.send_text(text)
    return await client.expect("error")


# Frames --------------------------------------------------------------------------------------------------------------


async def test_binary_frame_is_answered_and_closed_with_1003(connect: Connect):
    client = await connect()
    await client.send_binary(b'{"type":"ping"}')
    error = await client.expect("error")
    assert error["code"] == "bad_request"
    assert "binary" in error["message"].lower()
    assert await client.closed() == 1003


async def test_broken_utf8_is_closed_with_1007(connect: Connect):
    client = await connect()
    await client.send_text(b'{"type":"ping","id":"\xff\xfe"}')
    assert await client.closed() == 1007


async def test_message_of_33_kib_is_answered_and_closed_with_1009(connect: Connect):
    client = await connect()
    await client.send({"type": "ping", "padding": "x" * 33 * 1024})
    error = await client.expect("error")
    assert error["code"] == "bad_request"
    assert "32768" in error["message"] or "32 KiB" in error["message"]
    assert await client.closed() == 1009


async def test_message_of_33_kib_in_small_fragments_is_closed_with_1009(system: System):
    raw = await RawSocket.open(f"{system.gateway.realtime}?apiKey={system.key()}")
    await raw.send_frame(TEXT, b"x" * 1024, final=False)
    for _ in range(32):
        await raw.send_frame(CONTINUATION, b"x" * 1024, final=False)
    assert await raw.close_code() == 1009
    raw.close()


async def test_message_of_32_kib_is_taken(connect: Connect):
    client = await connect()
    message = json.dumps({"type": "ping", "id": 1, "padding": ""})
    await client.send_text(message.replace('"padding": ""', f'"padding": "{"x" * (32 * 1024 - len(message))}"'))
    await client.expect("pong", id=1)


async def test_message_in_fragments_is_one_message(system: System):
    raw = await RawSocket.open(f"{system.gateway.realtime}?apiKey={system.key()}")
    await raw.send_frame(TEXT, b'{"type":"pi', final=False)
    await raw.send_frame(CONTINUATION, b'ng","id":41}')
    await raw.frame_with(b'"pong","id":41')
    raw.close()


async def test_frame_that_breaks_rfc_6455_is_closed_with_1002(system: System):
    raw = await RawSocket.open(f"{system.gateway.realtime}?apiKey={system.key()}")
    await raw.send_frame(3, b"reserved opcode")
    assert await raw.close_code() == 1002
    raw.close()


# JSON ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"type":"ping"', id="cut_off"),
        pytest.param("ping", id="no_json"),
        pytest.param("", id="empty"),
        pytest.param('{"type":"ping"} {"type":"ping"}', id="two_values"),
        pytest.param('{"type":"subscribe","channel":"prices","filters":{"minValue":NaN}}', id="nan"),
        pytest.param('{"type":"subscribe","channel":"prices","filters":{"minValue":Infinity}}', id="infinity"),
        pytest.param('{"type":"subscribe","channel":"prices","filters":{"minValue":1e999}}', id="beyond_double"),
    ],
)
async def test_broken_json_is_a_bad_request_that_says_so(text: str, connect: Connect):
    client = await connect()
    error = await _answer_to(client, text)
    assert (error["code"], error["retryable"]) == ("bad_request", False)
    assert "JSON" in error["message"]
    await _still_serves(client)


@pytest.mark.parametrize("text", ['[{"type":"ping"}]', '"ping"', "5", "null", "true"])
async def test_array_or_other_value_is_a_bad_request_that_asks_for_an_object(text: str, connect: Connect):
    client = await connect()
    error = await _answer_to(client, text)
    assert error["code"] == "bad_request"
    assert "object" in error["message"]
    await _still_serves(client)


async def test_deep_nesting_is_a_bad_request(connect: Connect):
    client = await connect()
    depth = 10_000
    error = await _answer_to(client, '{"type":"subscribe","filters":' + "[" * depth + "]" * depth + "}")
    assert error["code"] == "bad_request"
    await _still_serves(client)


async def test_deep_nesting_that_parses_is_refused_by_field(connect: Connect):
    client = await connect()
    error = await _answer_to(client, '{"type":"subscribe","channel":"prices","filters":' + "[" * 100 + "]" * 100 + "}")
    assert (error["code"], error["field"]) == ("invalid_filter", "filters")
    await _still_serves(client)


# Commands ------------------------------------------------------------------------------------------------------------


async def test_unknown_type_is_named(connect: Connect):
    client = await connect()
    error = await client.refused("subscrbe", channel="prices")
    assert (error["code"], error["field"]) == ("unknown_type", "type")
    assert "subscrbe" in error["message"]
    await _still_serves(client)


@pytest.mark.parametrize("kind", [None, 5, [], {}])
async def test_type_that_is_no_string_is_a_bad_request(kind: object, connect: Connect):
    client = await connect()
    await client.send({"type": kind, "id": 1})
    error = await client.expect("error", id=1)
    assert (error["code"], error["field"]) == ("bad_request", "type")
    await _still_serves(client)


@pytest.mark.parametrize("command_id", [1.5, True, [], {}, "x" * 65])
async def test_id_that_is_neither_a_short_string_nor_an_integer_is_a_bad_request(command_id: object, connect: Connect):
    client = await connect()
    error = await _answer_to(client, json.dumps({"type": "ping", "id": command_id}))
    assert (error["code"], error["field"]) == ("bad_request", "id")
    await _still_serves(client)


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("weather", "unknown_channel"),
        ("Prices", "unknown_channel"),
        ("protocol:", "unknown_channel"),
        (5, "unknown_channel"),
        (None, "bad_request"),
    ],
)
async def test_unknown_channel_is_named(channel: object, code: str, connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channel=channel)
    assert (error["code"], error["field"]) == (code, "channel")
    assert client.is_open
    assert await client.subscriptions() == []


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"tokenID": ["x"]}, "filters.tokenID"),
        ({"minvalue": 5}, "filters.minvalue"),
        ([], "filters"),
        ("chains", "filters"),
        ({"chains": "base"}, "filters.chains"),
        ({"chains": []}, "filters.chains"),
        ({"chains": ["base", 5]}, "filters.chains[1]"),
        ({"chains": [" "]}, "filters.chains[0]"),
        ({"tokenIds": [None]}, "filters.tokenIds[0]"),
        ({"protocolIds": [str(number) for number in range(101)]}, "filters.protocolIds"),
        ({"userId": 7}, "filters.userId"),
        ({"userId": ""}, "filters.userId"),
        ({"minValue": "5"}, "filters.minValue"),
        ({"minValue": True}, "filters.minValue"),
        ({"maxValue": None}, "filters.maxValue"),
        ({"minValue": 2, "maxValue": 1}, "filters.minValue"),
    ],
)
async def test_invalid_filter_is_refused_by_field(filters: object, field: str, connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channel="prices", filters=filters)
    assert (error["code"], error["field"]) == ("invalid_filter", field)
    assert await client.subscriptions() == []


async def test_filter_for_filters_is_a_bad_request_rather_than_everything(connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channel="prices", filter={"tokenIds": ["x"]})
    assert (error["code"], error["field"]) == ("bad_request", "filter")


@pytest.mark.parametrize(
    ("name", "value"),
    [("since", "yesterday"), ("since", 5), ("since", "k3f9.99:1"), ("snapshot", "yes"), ("snapshot", 1)],
)
async def test_a_wrong_cursor_or_snapshot_is_a_bad_request_naming_the_field(name: str, value: object, connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channel="prices", **{name: value})
    assert (error["code"], error["field"]) == ("bad_request", name)


async def test_events_have_no_snapshot(connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channel="alerts", snapshot=True)
    assert (error["code"], error["field"]) == ("bad_request", "snapshot")


async def test_a_cursor_of_another_stream_has_expired(connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channel="prices", since="zzzzzz.0:1")
    assert (error["code"], error["field"], error["retryable"]) == ("cursor_expired", "since", False)


@pytest.mark.parametrize("channels", ["prices", [], {}, ["prices"] * 101])
async def test_channels_that_are_no_list_of_channels_are_a_bad_request(channels: object, connect: Connect):
    client = await connect()
    error = await client.refused("subscribe", channels=channels)
    assert (error["code"], error["field"]) == ("bad_request", "channels")


async def test_unsubscribing_from_what_is_not_subscribed_says_so(connect: Connect):
    client = await connect()
    kept = await client.subscribe("prices", {"tokenIds": [unique("token")]})
    for which in ({"channel": "prices"}, {"room": "prices:0000000000000000"}, {"room": "nonsense"}):
        assert (await client.refused("unsubscribe", **which))["code"] == "not_subscribed"
    assert [each["room"] for each in await client.subscriptions()] == [kept["room"]]


async def test_room_that_is_no_string_is_a_bad_request(connect: Connect):
    client = await connect()
    error = await client.refused("unsubscribe", room=5)
    assert (error["code"], error["field"]) == ("bad_request", "room")


async def test_two_commands_with_one_id_are_answered_twice_or_refused_by_id(connect: Connect):
    client = await connect()
    tokens = [unique("token"), unique("token")]
    for token in tokens:
        await client.send({"type": "subscribe", "id": "same", "channel": "prices", "filters": {"tokenIds": [token]}})
    answers = [await client.expect_any("an answer", id="same") for _ in tokens]
    kinds = sorted(each["type"] for each in answers)
    assert kinds in (["subscribed", "subscribed"], ["error", "subscribed"])
    assert all(each["field"] == "id" for each in answers if each["type"] == "error")
    assert len(await client.subscriptions()) == kinds.count("subscribed")


# Authentication ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe", "unsubscribe_all", "list"])
async def test_command_before_authentication_asks_for_a_key_and_the_connection_stays(
    kind: str, connect: Connect, system: System
):
    client = await connect.unauthenticated()
    error = await client.refused(kind, channel="prices")
    assert (error["code"], error["retryable"]) == ("api_key_required", False)
    await client.send({"type": "authenticate", "apiKey": system.key()})
    await client.expect("authenticated")


async def test_ping_is_answered_before_authentication(connect: Connect):
    client = await connect.unauthenticated()
    assert (await client.command("ping"))["type"] == "pong"


async def test_second_authentication_is_refused_and_the_first_stands(connect: Connect, system: System):
    client = await connect(system.key("alice"))
    error = await client.refused("authenticate", apiKey=system.key("bob"))
    assert error["code"] == "already_authenticated"
    await client.subscribe("alerts", {"userId": "alice"})


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "authenticate"}, "api_key_required"),
        ({"type": "authenticate", "auth": {}}, "api_key_required"),
        ({"type": "authenticate", "apiKey": ""}, "api_key_required"),
        ({"type": "authenticate", "apiKey": 5}, "bad_request"),
        ({"type": "authenticate", "auth": "key"}, "bad_request"),
        ({"auth": ["key"]}, "bad_request"),
    ],
)
async def test_authentication_without_a_usable_key_names_the_field(
    message: object, code: str, connect: Connect, system: System
):
    client = await connect.unauthenticated()
    error = await _answer_to(client, json.dumps(message))
    assert error["code"] == code
    assert error["field"] in {"apiKey", "auth", "auth.apiKey"}
    await client.send({"type": "authenticate", "apiKey": system.key()})
    await client.expect("authenticated")


async def test_errors_leave_earlier_subscriptions_alone(connect: Connect):
    client = await connect()
    kept = await client.subscribe("tvl", {"protocolIds": [unique("protocol")]})
    await client.refused("subscribe", channel="weather")
    await _answer_to(client, "{")
    assert [each["room"] for each in await client.subscriptions()] == [kept["room"]]
