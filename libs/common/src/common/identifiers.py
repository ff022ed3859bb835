"""Names of things as types: a function that takes a `RoomId` cannot be handed a connection's id."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import NewType

ConnectionId = NewType("ConnectionId", str)
"""22 URL-safe characters, 128 random bits; made by the gateway on accept."""

GatewayId = NewType("GatewayId", str)
"""Names one gateway process; for people and logs, never for addressing (that is the slot)."""

RoomId = NewType("RoomId", str)
"""`channel:16 hex digits`, see `common.rooms`."""

KeyHash = NewType("KeyHash", str)
"""64 hex digits: keyed BLAKE2b-256 of an API key. The key itself is never stored, logged or sent to Kafka."""

Slot = NewType("Slot", int)
"""A partition of `deliveries` and `auth.replies` that one gateway leases."""

FencingEpoch = NewType("FencingEpoch", int)
"""Number of a slot's lease; rises with every new holder."""

Generation = NewType("Generation", int)
"""Number of an ownership of a source partition; rises with every new owner."""

API_KEY_PREFIX = "ds_"


def new_connection_id() -> ConnectionId:
    return ConnectionId(secrets.token_urlsafe(16))


def new_gateway_id() -> GatewayId:
    return GatewayId(f"gw-{secrets.token_hex(4)}")


def new_api_key() -> str:
    """A key of 256 random bits, recognisable by its prefix in a leak scan."""
    return API_KEY_PREFIX + secrets.token_urlsafe(32)


def hash_api_key(api_key: str, pepper: str) -> KeyHash:
    """The only form in which a key leaves the process that received it.

    BLAKE2b takes a key of at most 64 bytes (RFC 7693), so a pepper of any length is hashed down to that first.
    """
    pepper_key = blake2b(pepper.encode(), digest_size=64).digest()
    return KeyHash(blake2b(api_key.encode("utf-8", "surrogatepass"), digest_size=32, key=pepper_key).hexdigest())
