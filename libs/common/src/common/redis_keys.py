"""The Redis keys: the only place that spells them (docs/operations.md).

| key | type | holds |
|---|---|---|
| `ws:connection:{id}` | hash | id, keyHash, user, gateway, slot, address, connectedAt, lastSeen (ms), epoch, subscriptions (room ids) |
| `ws:connections` | set | ids of all connections |
| `ws:closed:{id}` | string | marks a connection as closed for 10 minutes, so that a late event does not bring it back |
| `ws:room:{room}` | hash | channel, filter (JSON) |
| `ws:room:{room}:members` | set | connection ids |
| `ws:rooms:{channel}` | set | room ids |
| `ws:slot:{n}` | hash | gateway, epoch, expiresAt (ms, Redis' clock); stays after the lease, so that epochs rise |
| `ws:slot:{n}:connections` | set | connection ids of the gateway in the slot |
| `ws:slot:{n}:holder` | hash | epoch, gateway (empty for none): who has the slot by `rooms.interest` |
| `ws:slot:{n}:rooms` | hash | room -> interest record (JSON) of that holder |
| `ws:interest:offsets` | hash | partition of rooms.interest -> next offset that `ws:slot:*:holder` and `:rooms` have not seen |
| `ws:streams` | hash | channel -> epoch of its stream, as `rooms.interest` has it |
| `ws:bridge` | string | which router bridges pub/sub; a lease |
| `ws:sweep` | string | there while no router needs to sweep |
| `stream:{channel}:{partition}:generation` | string | last generation drawn |
| `latest:{channel}:{partition}` | hash | last updates: `e:{key}` -> offset, timestamp, JSON; generation, stream, offset held up to |
| `auth:key:{hash}` | hash | record (JSON), revokedAt (ms; once set it stays) |
| `auth:decision:{hash}` | string | a cached decision (JSON) and until when it may be used |
"""

from __future__ import annotations

from common.channels import Channel
from common.identifiers import ConnectionId, KeyHash, RoomId, Slot

CONNECTIONS = "ws:connections"
INTEREST_OFFSETS = "ws:interest:offsets"
STREAMS = "ws:streams"
BRIDGE_LEASE = "ws:bridge"
SWEEP_LEASE = "ws:sweep"
BRIDGE_CHANNELS = "events:*"

CONNECTION_TTL_SECONDS = 24 * 3600
CLOSED_TTL_SECONDS = 600


def connection(connection_id: ConnectionId) -> str:
    return f"ws:connection:{connection_id}"


def closed(connection_id: ConnectionId) -> str:
    return f"ws:closed:{connection_id}"


def room(room_id: RoomId) -> str:
    return f"ws:room:{room_id}"


def room_members(room_id: RoomId) -> str:
    return f"ws:room:{room_id}:members"


def channel_rooms(channel: Channel) -> str:
    return f"ws:rooms:{channel.value}"


def slot(number: Slot) -> str:
    return f"ws:slot:{number}"


def slot_connections(number: Slot) -> str:
    return f"ws:slot:{number}:connections"


def slot_holder(number: Slot) -> str:
    return f"ws:slot:{number}:holder"


def slot_rooms(number: Slot) -> str:
    return f"ws:slot:{number}:rooms"


def generation(channel: str, partition: int) -> str:
    return f"stream:{channel}:{partition}:generation"


def latest(channel: str, partition: int) -> str:
    return f"latest:{channel}:{partition}"


def auth_key(key_hash: KeyHash) -> str:
    return f"auth:key:{key_hash}"


def auth_decision(key_hash: KeyHash) -> str:
    return f"auth:decision:{key_hash}"


def bridge_channel(name: str) -> str:
    """Pub/sub channel on which existing producers publish: `events:prices`."""
    return f"events:{name}"
