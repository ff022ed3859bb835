"""Control records come back as they were, and a newer writer does not stop an older reader."""

import json

import pytest
from pydantic import TypeAdapter, ValidationError

from common.channels import Channel
from common.events import (
    AuthReply,
    AuthRequest,
    ConnectionClosed,
    ConnectionEvent,
    ConnectionOpened,
    ConnectionsSeen,
    Decision,
    Interest,
    Revocation,
    SlotTaken,
    StreamCreated,
    Subscribed,
    SubscriptionEvent,
    Unsubscribed,
)

LEASE = {"slot": 7, "epoch": 1765220950000, "at": 1765220950123}
HASH = "a" * 64
ROOM = "prices:01e7b720ff566d53"
CONNECTION_EVENTS = [
    ConnectionOpened(
        **LEASE, connection="c", gateway="gw", key_hash=HASH, user=None, address="10.0.0.1", connected_at=5
    ),
    ConnectionsSeen(**LEASE, connections=["c", "d"]),
    ConnectionClosed(**LEASE, connection="c", code=4003),
]
SUBSCRIPTION_EVENTS = [
    Subscribed(**LEASE, connection="c", room=ROOM, channel=Channel.PRICES, filter={"minValue": 1}),
    Unsubscribed(**LEASE, connection="c", room=ROOM),
]
DECISION = Decision(
    allowed=True, user="ann", permissions=frozenset({"*"}), limits={"subscriptions": None, "messageBytes": 1}
)
RECORDS = [
    *CONNECTION_EVENTS,
    *SUBSCRIPTION_EVENTS,
    Interest(slot=7, epoch=1, gateway="gw", room=ROOM, channel=Channel.PRICES, filter={}, request=3),
    SlotTaken(slot=7, epoch=2),
    StreamCreated(channel="prices", epoch="k3f9"),
    AuthRequest(request=1, slot=7, epoch=2, key_hash=HASH, at=5),
    AuthReply(request=1, epoch=2, key_hash=HASH, decision=DECISION),
    Revocation(key_hash=HASH, at=5),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record):
    assert type(record).model_validate_json(record.encode()) == record


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_an_unknown_field_is_passed_over(record):
    newer = json.dumps({**json.loads(record.encode()), "later": [1]})
    assert type(record).model_validate_json(newer) == record


@pytest.mark.parametrize(
    ("union", "record"),
    [
        *((ConnectionEvent, record) for record in CONNECTION_EVENTS),
        *((SubscriptionEvent, record) for record in SUBSCRIPTION_EVENTS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kind_tells_the_events_of_a_topic_apart(union, record):
    assert TypeAdapter(union).validate_json(record.encode()) == record


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValidationError):
        TypeAdapter(ConnectionEvent).validate_json(json.dumps({**LEASE, "kind": "moved", "connection": "c"}))


def test_a_limit_taken_away_is_not_lost_on_the_way():
    reply = AuthReply(request=1, epoch=2, key_hash=HASH, decision=DECISION)
    assert AuthReply.model_validate_json(reply.encode()).decision.limits == {"subscriptions": None, "messageBytes": 1}
