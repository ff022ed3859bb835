"""Updates are read once: filters see their fields normalized, clients get the producer's JSON, bad ones are refused with the reason."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.channels import CHANNEL_OF_TYPE, Channel
from common.errors import InvalidUpdate
from common.updates import MAX_UPDATE_BYTES, decode_update, frame_json

OURS = {"id", "channel", "timestamp", "sourceId", "type", "tokenId", "protocolId", "chain", "chains", "userId", "value"}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
IDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TYPES = st.sampled_from(sorted(CHANNEL_OF_TYPE))


@st.composite
def updates(draw):
    kind = draw(TYPES)
    known = st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={
            "id": JSON,
            "channel": st.just(CHANNEL_OF_TYPE[kind].value) | st.none(),
            "timestamp": st.integers(0, 2**53) | st.none(),
            "tokenId": IDS | st.none(),
            "protocolId": IDS | st.none(),
            "chain": IDS | st.none(),
            "chains": st.lists(IDS, max_size=3) | IDS,
            "userId": IDS.filter(str.strip) | st.none(),
            "value": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.none(),
            "data": JSON,
        },
    )
    unknown = st.dictionaries(st.text(max_size=8).filter(lambda name: name not in OURS), JSON, max_size=3)
    update = {**draw(unknown), **draw(known)}
    return dict(draw(st.permutations(list(update.items()))))


def encoded(update, **options) -> bytes:
    return json.dumps(update, **options).encode("utf-8", "surrogatepass")


def frame(update: object, update_id: str = "3:18231", record_timestamp: int = 1765220950000) -> dict[str, Any]:
    told = frame_json(decode_update(encoded(update)), update_id, record_timestamp=record_timestamp)
    found: dict[str, Any] = json.loads(told)
    return found


@given(updates(), st.booleans(), st.sampled_from([None, 2]))
@example({"type": "alert", "data": "\u2028 \U0001f40b"}, False, None)
def test_a_frame_is_the_producers_json_with_id_channel_and_timestamp(update, ascii_only, indent):
    body = b" \r\n" + encoded(update, ensure_ascii=ascii_only, indent=indent) + b"\n"
    decoded = decode_update(body)
    sent = json.loads(frame_json(decoded, "3:18231", record_timestamp=17))

    expected = {**update, "id": "3:18231", "channel": CHANNEL_OF_TYPE[update["type"]].value}
    expected["timestamp"] = 17 if update.get("timestamp") is None else update["timestamp"]
    if "id" in update:
        expected["sourceId"] = update["id"]
    assert sent == expected


@given(updates())
def test_a_frame_names_no_field_twice(update):
    text = frame_json(decode_update(encoded(update)), "0:0", record_timestamp=1)

    def once(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=once)


def test_a_producers_own_id_is_kept_as_source_id():
    assert frame({"type": "alert", "id": 42})["sourceId"] == 42
    assert frame({"type": "alert", "id": 42})["id"] == "3:18231"


def test_a_field_name_written_with_escapes_is_the_same_field():
    decoded = decode_update(b'{"type":"alert","\\u0069d":1,"ch\\u0061nnel":"alerts"}')
    assert json.loads(frame_json(decoded, "0:0", record_timestamp=5)) == {
        "type": "alert", "channel": "alerts", "id": "0:0", "sourceId": 1, "timestamp": 5,
    }  # fmt: skip


def test_the_body_is_not_encoded_again_when_nothing_clashes():
    body = b'{"type":"price_update",  "value":1.50, "data":{"price":1.50}}'
    assert (
        frame_json(decode_update(body), "0:1", record_timestamp=9)
        == b'{"channel":"prices","id":"0:1","timestamp":9,' + body[1:]
    )


def test_filters_see_ids_and_chains_normalized():
    update = decode_update(
        encoded({"type": "tvl_update", "protocolId": " Aave-V3", "tokenId": "base:0xAB", "chains": ["Base", "OP "]})
    )
    assert (update.protocol_id, update.token_id, update.chains) == ("aave-v3", "base:0xab", ("base", "op"))


@pytest.mark.parametrize(
    ("fields", "chains"),
    [
        ({}, ()),
        ({"chain": "Base"}, ("base",)),
        ({"chains": "Base"}, ("base",)),
        ({"chains": ["Base", "base", "OP"]}, ("base", "op")),
        ({"chain": "base", "chains": ["op"]}, ("base", "op")),
        ({"chain": None, "chains": []}, ()),
    ],
)
def test_chain_and_chains_may_be_one_or_many(fields, chains):
    assert decode_update(encoded({"type": "alert", **fields})).chains == chains


@pytest.mark.parametrize(("kind", "channel"), CHANNEL_OF_TYPE.items())
def test_each_type_belongs_to_its_channel(kind, channel):
    body = encoded({"type": kind})
    assert decode_update(body).channel is channel
    assert decode_update(body, channel=channel).channel is channel
    wrong = next(other for other in Channel if other is not channel)
    with pytest.raises(InvalidUpdate) as refused:
        decode_update(body, channel=wrong)
    assert refused.value.field == "type"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"type": "nonsense"}, "type"),
        ({"type": 7}, "type"),
        ({"type": None}, "type"),
        ({"channel": "tvl"}, "channel"),
        ({"channel": 7}, "channel"),
        ({"tokenId": 7}, "tokenId"),
        ({"protocolId": ["a"]}, "protocolId"),
        ({"chain": 7}, "chain"),
        ({"chains": {"a": 1}}, "chains"),
        ({"userId": 7}, "userId"),
        ({"userId": "  "}, "userId"),
        ({"value": "7"}, "value"),
        ({"value": True}, "value"),
        ({"timestamp": "now"}, "timestamp"),
        ({"timestamp": -1}, "timestamp"),
    ],
)
def test_a_bad_field_is_refused_by_its_name(fields, field):
    with pytest.raises(InvalidUpdate) as refused:
        decode_update(encoded({"type": "price_update", **fields}))
    assert refused.value.field == field
    assert field in refused.value.message


def test_a_list_with_one_bad_chain_names_the_list():
    with pytest.raises(InvalidUpdate, match="chains"):
        decode_update(b'{"type":"alert","chains":["base",7]}')


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(InvalidUpdate):
        decode_update(encoded({"type": "price_update", "value": value}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b'[{"type":"alert"}]',
        b"{",
        b"{}",
        b'{"value":1}',
        b'{"type":"alert"} {}',
        b'{"type":"alert",}',
        b'{"type":"alert","value":1e999}',
        b'{"type":"alert","data":NaN}',
        b'{"type":"alert","data":01}',
        b'{"type":"alert","data":"\n"}',
        b'{"type":"alert","data":"\xff"}',
        b'\xef\xbb\xbf{"type":"alert"}',
        b'{"type":"alert","data":' + b"[" * 100_000,
        b'{"type":"alert","data":"' + b"x" * MAX_UPDATE_BYTES + b'"}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_no_update_is_refused_with_a_reason(body):
    with pytest.raises(InvalidUpdate) as refused:
        decode_update(body)
    assert refused.value.message


@given(st.binary(max_size=60))
def test_any_bytes_are_an_update_or_are_refused(body):
    with contextlib.suppress(InvalidUpdate):
        frame_json(decode_update(body), "0:0", record_timestamp=0)


@given(updates(), st.data())
def test_a_damaged_update_is_refused_or_still_gives_valid_json(update, data):
    body = bytearray(encoded(update))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    try:
        sent = frame_json(decode_update(bytes(body)), "0:0", record_timestamp=0)
    except InvalidUpdate:
        return
    assert json.loads(sent)["id"] == "0:0"


def test_an_update_of_the_greatest_size_is_taken():
    empty = len(encoded({"type": "alert", "data": ""}))
    body = encoded({"type": "alert", "data": "x" * (MAX_UPDATE_BYTES - empty)})
    assert len(body) == MAX_UPDATE_BYTES
    assert decode_update(body).channel is Channel.ALERTS


@pytest.mark.parametrize(
    ("update", "entity"),
    [
        ({"type": "price_update", "tokenId": "t", "protocolId": "p"}, "t"),
        ({"type": "tvl_update", "tokenId": "t", "protocolId": "p"}, "p"),
        ({"type": "protocol_update", "protocolId": "p"}, "p"),
        ({"type": "alert", "userId": "u"}, "u"),
        ({"type": "alert"}, None),
    ],
)
def test_entity_is_what_an_update_is_about(update, entity):
    assert decode_update(encoded(update)).entity == entity
