import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defistream.cursors import Cursor
from defistream.messages import (
    Authenticated,
    CatchUpEnd,
    Conflation,
    Heartbeat,
    Ignored,
    OperatorBroadcast,
    Refusal,
    ServerNotice,
    Subscribed,
    Unsubscribed,
    Welcome,
    parse_message,
)
from defistream.updates import Update

CURSOR = Cursor("k3f9", {0: 1})
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KNOWN = [
    "welcome",
    "authenticated",
    "subscribed",
    "unsubscribed",
    "heartbeat",
    "error",
    "notice",
    "broadcast",
    "conflated",
    "replay_end",
]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"type": "welcome", "connectionId": "c1", "heartbeatInterval": 15000}, Welcome("c1", 15.0)),
        ({"type": "authenticated", "user": "ann", "permissions": ["*"]}, Authenticated("ann", ("*",))),
        (
            {"type": "subscribed", "id": 3, "room": "prices:9f", "cursor": "k3f9.0:1"},
            Subscribed(3, "prices:9f", CURSOR),
        ),
        ({"type": "subscribed", "id": 3, "room": "prices:9f", "cursor": "."}, Subscribed(3, "prices:9f", None)),
        ({"type": "unsubscribed", "id": 4, "room": "prices:9f"}, Unsubscribed(4)),
        (
            {"type": "replay_end", "id": 7, "room": "prices:9f", "count": 12, "cursor": "k3f9.0:1"},
            CatchUpEnd(7, "prices:9f", CURSOR, 12, snapshot=False, expired=False),
        ),
        (
            {"type": "snapshot_end", "id": 7, "room": "prices:9f", "count": 0, "cursor": "k3f9.0:1", "expired": True},
            CatchUpEnd(7, "prices:9f", CURSOR, 0, snapshot=True, expired=True),
        ),
        ({"type": "heartbeat", "cursors": {"prices": "k3f9.0:1", "tvl": "."}}, Heartbeat({"prices": CURSOR})),
        ({"type": "broadcast", "data": [1]}, OperatorBroadcast(None, [1])),
        (
            {"type": "notice", "code": "draining", "message": "m", "retryAfterMs": 500},
            ServerNotice("draining", "m", 0.5, {}),
        ),
        (
            {"type": "conflated", "channel": "tvl", "n": 2, "from": "0:1", "to": "0:3"},
            Conflation("tvl", 2, "0:1", "0:3"),
        ),
        (
            {
                "type": "error",
                "id": 1,
                "code": "rate_limited",
                "message": "m",
                "field": "f",
                "retryable": True,
                "retryAfterMs": 20,
            },
            Refusal(1, "rate_limited", "m", "f", True, 0.02, None),
        ),
        (
            {"type": "error", "code": "api_key_required"},
            Refusal(None, "api_key_required", "api_key_required", None, False, None, None),
        ),
        ({"type": "price_update", "channel": "prices", "id": "0:1"}, Update("prices", "0:1", {})),
        ({"type": "invented_later", "channel": "nfts", "id": "0:1"}, Update("nfts", "0:1", {})),
    ],
)
def test_frames_are_read_as_documented(frame, message):
    assert parse_message(json.dumps(frame)) == message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "{}", '{"type":7}', '{"type":"new"}', '{"type":"error"}', b"\xff", "[" * 100_000]
)
def test_what_cannot_be_read_is_ignored(text):
    assert isinstance(parse_message(text), Ignored)


@given(
    st.sampled_from(KNOWN),
    st.dictionaries(st.sampled_from(["id", "code", "cursor", "cursors", "room", "n", "channel"]), json_values),
)
def test_no_frame_raises(kind, fields):
    parse_message(json.dumps({"type": kind} | fields))
