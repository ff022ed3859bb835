"""`POST /v2/broadcast`: which records a body asks for, and which item of it is wrong."""

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import ErrorCode, FieldError, Unavailable
from common.topics import Topics
from gateway.broadcasts import MAX_UPDATES, Outgoing, Publisher, read_broadcast
from services.gateway.tests.roles import MemoryProducer, examples

TOPICS = Topics("t.")
PRICE = {"type": "price_update", "tokenId": "coingecko:bitcoin", "value": 1}
TVL = {"type": "tvl_update", "protocolId": "Aave-V3", "tokenId": "x"}
MESSAGE = {"type": "broadcast", "data": {"text": "hello"}}


def read(body: object) -> list[Outgoing]:
    return read_broadcast(json.dumps(body).encode(), TOPICS)


def test_an_update_goes_to_its_channels_topic_keyed_by_its_entity_as_it_was_written():
    assert read(PRICE) == [Outgoing("t.updates.prices", b"coingecko:bitcoin", json.dumps(PRICE).encode())]


@pytest.mark.parametrize(
    ("update", "topic", "key"),
    [
        (TVL, "t.updates.tvl", b"aave-v3"),
        ({"type": "alert", "userId": "alice"}, "t.updates.alerts", b"alice"),
        ({"type": "governance"}, "t.updates.governance", None),
        ({"type": "price_update"}, "t.updates.prices", b"prices"),
    ],
)
def test_topic_and_key_follow_the_type(update, topic, key):
    (record,) = read(update)
    assert (record.topic, record.key) == (topic, key)


def test_a_list_is_read_item_by_item_in_order():
    assert [record.topic for record in read([PRICE, MESSAGE, TVL])] == [
        "t.updates.prices",
        "t.updates.system",
        "t.updates.tvl",
    ]


def test_an_operators_message_goes_to_the_system_topic_as_it_was_written():
    for message in (MESSAGE, {**MESSAGE, "channel": "prices"}, {"type": "broadcast", "data": None}):
        assert read(message) == [Outgoing("t.updates.system", None, json.dumps(message).encode())]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, ErrorCode.BAD_REQUEST, "type"),
        ({"type": "fly"}, ErrorCode.BAD_REQUEST, "type"),
        ("text", ErrorCode.BAD_REQUEST, None),
        ({**PRICE, "value": "1"}, ErrorCode.BAD_REQUEST, "value"),
        ({**PRICE, "channel": "tvl"}, ErrorCode.BAD_REQUEST, "channel"),
        ([], ErrorCode.BAD_REQUEST, None),
        ([PRICE] * (MAX_UPDATES + 1), ErrorCode.BAD_REQUEST, None),
        ([PRICE, PRICE, {**PRICE, "value": "1"}], ErrorCode.BAD_REQUEST, "[2].value"),
        ([PRICE, 7], ErrorCode.BAD_REQUEST, "[1]"),
        ([PRICE, [PRICE]], ErrorCode.BAD_REQUEST, "[1]"),
        ({"type": "broadcast"}, ErrorCode.BAD_REQUEST, "data"),
        ({**MESSAGE, "channel": "prizes"}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
        ({**MESSAGE, "channel": 7}, ErrorCode.UNKNOWN_CHANNEL, "channel"),
        ([MESSAGE, {**MESSAGE, "channel": "x"}], ErrorCode.UNKNOWN_CHANNEL, "[1].channel"),
        ({**MESSAGE, "data": "x" * 262_144}, ErrorCode.BAD_REQUEST, None),
        ([{**PRICE, "data": "x" * 262_144}], ErrorCode.BAD_REQUEST, "[0]"),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_the_first_item_that_is_wrong_is_named(body, code, field):
    with pytest.raises(FieldError) as wrong:
        read(body)
    assert (wrong.value.code, wrong.value.field) == (code, field)


@examples
@given(st.binary(max_size=100))
@example(b"")
@example(b"[")
@example(b"[" * 20_000)
@example(b'{"a":' * 20_000)
@example(b'{"type":"broadcast","data":"\xff"}')
@example(b'{"type":"broadcast","data":"\\ud800"}')
@example(b'{"type":"alert","userId":"\\ud800"}')
@example(b'[{"type":"broadcast","data":\xff}]')
@example(b'{"type":"broadcast","data":' + b"[" * 20_000 + b"]" * 20_000 + b"}")
def test_any_body_is_read_or_refused(body):
    with contextlib.suppress(FieldError):
        assert read_broadcast(body, TOPICS)


async def test_published_records_are_told_with_topic_partition_and_offset():
    publisher = Publisher()
    publisher.producer = MemoryProducer()
    accepted = await publisher.publish(read([PRICE, TVL, PRICE]))
    assert accepted == [
        {"topic": "t.updates.prices", "partition": 0, "offset": 0},
        {"topic": "t.updates.tvl", "partition": 0, "offset": 0},
        {"topic": "t.updates.prices", "partition": 0, "offset": 1},
    ]


async def test_before_kafka_is_there_nothing_is_accepted():
    with pytest.raises(Unavailable):
        await Publisher().publish(read(PRICE))
