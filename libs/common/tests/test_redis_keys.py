"""Redis keys are spelled as documented, and no two kinds of record share one."""

from common import redis_keys
from common.channels import Channel
from common.identifiers import ConnectionId, KeyHash, RoomId, Slot


def test_keys_are_spelled_as_documented():
    room = RoomId("prices:9f3c2a7be01d4c55")
    assert [
        redis_keys.connection(ConnectionId("c")),
        redis_keys.closed(ConnectionId("c")),
        redis_keys.room(room),
        redis_keys.room_members(room),
        redis_keys.channel_rooms(Channel.PRICES),
        redis_keys.slot(Slot(7)),
        redis_keys.slot_connections(Slot(7)),
        redis_keys.slot_holder(Slot(7)),
        redis_keys.slot_rooms(Slot(7)),
        redis_keys.generation("prices", 3),
        redis_keys.auth_key(KeyHash("ab")),
        redis_keys.auth_decision(KeyHash("ab")),
        redis_keys.bridge_channel("prices"),
    ] == [
        "ws:connection:c",
        "ws:closed:c",
        "ws:room:prices:9f3c2a7be01d4c55",
        "ws:room:prices:9f3c2a7be01d4c55:members",
        "ws:rooms:prices",
        "ws:slot:7",
        "ws:slot:7:connections",
        "ws:slot:7:holder",
        "ws:slot:7:rooms",
        "stream:prices:3:generation",
        "auth:key:ab",
        "auth:decision:ab",
        "events:prices",
    ]
