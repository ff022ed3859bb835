"""Replies and pushes have the shape that docs/protocol.md tells."""

from dataclasses import replace
from typing import Any

import orjson

from common.errors import ErrorCode
from common.limits import Limits
from gateway.protocol import replies
from gateway.protocol.replies import Notice, Timing
from services.gateway.tests.roles import room

BTC = room("prices", tokenIds=["btc"])
LIMITS = {
    "messageBytes": 32768,
    "messagesPerMinute": 1000,
    "subscriptionChangesPerMinute": 60,
    "subscriptions": 100,
    "filterValues": 100,
    "connections": None,
}
ROOM = {"channel": "prices", "filters": {"tokenIds": ["btc"]}, "room": BTC.id}


def read(payload: bytes) -> dict[str, Any]:
    message: dict[str, Any] = orjson.loads(payload)
    return message


def test_welcome_tells_times_in_milliseconds_and_limits():
    assert read(replies.welcome("c1", now_ms=1000, timing=Timing(), limits=Limits())) == {
        "type": "welcome",
        "connectionId": "c1",
        "protocol": 1,
        "serverTime": 1000,
        "heartbeatInterval": 15_000,
        "idleTimeout": 60_000,
        "authTimeout": 10_000,
        "expiresAt": 86_401_000,
        "limits": LIMITS,
    }


def test_authenticated_tells_user_permissions_and_the_keys_own_limits():
    limits = replace(Limits(), subscriptions=None)
    told = read(replies.authenticated(7, user="alice", permissions={"users:*", "channel:tvl"}, limits=limits))
    assert told == {
        "type": "authenticated",
        "id": 7,
        "user": "alice",
        "permissions": ["channel:tvl", "users:*"],
        "limits": {**LIMITS, "subscriptions": None},
    }


def test_subscribed_tells_the_canonical_filter_the_room_and_the_cursor():
    assert read(replies.subscribed("a", BTC, cursor="k.0:1")) == {
        "type": "subscribed",
        "id": "a",
        **ROOM,
        "cursor": "k.0:1",
    }


def test_unsubscribed_tells_the_room_or_all_of_them():
    assert read(replies.unsubscribed(None, BTC)) == {"type": "unsubscribed", **ROOM}
    assert read(replies.unsubscribed_all(1, [BTC])) == {
        "type": "unsubscribed",
        "id": 1,
        "subscriptions": [ROOM],
        "count": 1,
    }


def test_subscriptions_are_listed_with_their_cursors():
    assert read(replies.subscriptions(1, [(BTC, "k.0:1")])) == {
        "type": "subscriptions",
        "id": 1,
        "subscriptions": [{**ROOM, "cursor": "k.0:1"}],
    }


def test_pong_and_heartbeat_tell_the_time():
    assert read(replies.pong(None, now_ms=5)) == {"type": "pong", "timestamp": 5}
    assert read(replies.heartbeat(now_ms=5, sent=3, cursors={"prices": "k.0:1"})) == {
        "type": "heartbeat",
        "timestamp": 5,
        "sent": 3,
        "cursors": {"prices": "k.0:1"},
    }


def test_a_notice_may_carry_a_delay():
    assert read(replies.notice(Notice.EXPIRING, "soon")) == {"type": "notice", "code": "expiring", "message": "soon"}
    assert read(replies.notice(Notice.DRAINING, "now", retry_after=1.5))["retryAfterMs"] == 1500


def test_an_error_tells_only_what_there_is_to_tell():
    assert read(replies.error(ErrorCode.BAD_REQUEST, "no")) == {
        "type": "error",
        "code": "bad_request",
        "message": "no",
        "retryable": False,
    }
    assert read(
        replies.error(ErrorCode.RATE_LIMITED, "no", command_id=0, field="f", retryable=True, retry_after=0.0001)
    ) == {
        "type": "error",
        "id": 0,
        "code": "rate_limited",
        "message": "no",
        "field": "f",
        "retryable": True,
        "retryAfterMs": 1,
    }
