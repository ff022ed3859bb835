"""Records of the control topics, as pydantic models: what the services tell each other about connections, rooms and keys.

All are JSON objects. Models with a `kind` share a topic; the rest have one each (docs/asyncapi.yaml).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from common.channels import Channel
from common.identifiers import ConnectionId, FencingEpoch, GatewayId, KeyHash, RoomId, Slot


class Record(BaseModel):
    """Unknown fields are passed over, so that a newer writer does not stop an older reader."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def encode(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


class FromGateway(Record):
    """Every event says under which lease it was written; those of an older fencing epoch than the slot's are void."""

    slot: Slot
    epoch: FencingEpoch
    at: int
    """Milliseconds since 1970 by the gateway's clock."""


# connections.events -------------------------------------------------------------------------------------------------


class ConnectionOpened(FromGateway):
    """A connection was authenticated."""

    kind: Literal["opened"] = "opened"
    connection: ConnectionId
    gateway: GatewayId
    key_hash: KeyHash
    user: str | None = None
    address: str
    connected_at: int


class ConnectionsSeen(FromGateway):
    """These connections were heard from lately. Keyed by the slot, as it speaks of many."""

    kind: Literal["seen"] = "seen"
    connections: list[ConnectionId]


class ConnectionClosed(FromGateway):
    kind: Literal["closed"] = "closed"
    connection: ConnectionId
    code: int


ConnectionEvent = Annotated[ConnectionOpened | ConnectionsSeen | ConnectionClosed, Field(discriminator="kind")]


# subscriptions.events -----------------------------------------------------------------------------------------------


class Subscribed(FromGateway):
    kind: Literal["subscribed"] = "subscribed"
    connection: ConnectionId
    room: RoomId
    channel: Channel
    filter: dict[str, Any]


class Unsubscribed(FromGateway):
    kind: Literal["unsubscribed"] = "unsubscribed"
    connection: ConnectionId
    room: RoomId


SubscriptionEvent = Annotated[Subscribed | Unsubscribed, Field(discriminator="kind")]


# rooms.interest -----------------------------------------------------------------------------------------------------


class Interest(Record):
    """A slot wants a room. A null value under the same key takes it back."""

    slot: Slot
    epoch: FencingEpoch
    gateway: GatewayId
    room: RoomId
    channel: Channel
    filter: dict[str, Any]
    request: int
    """Answers echo it. A record that is written again for want of an answer keeps its number."""
    since: dict[int, int] | None = None
    """Replay what comes after: partition -> last offset had; one that is not named is replayed from its start."""
    stream: str | None = None
    """The stream epoch that `since` is of."""
    snapshot: bool = False
    """Send the last value of each matching entity; with `since`, only where that cannot be replayed."""


class SlotTaken(Record):
    """A slot has a new lease, or, where `gateway` is `None`, was emptied: interest of older epochs is void."""

    slot: Slot
    epoch: FencingEpoch
    gateway: GatewayId | None = None


class StreamCreated(Record):
    """The epoch of a channel's stream; the last such record of the topic holds."""

    channel: str
    epoch: str


# auth.requests, auth.replies, auth.revocations ----------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _shared(permissions: frozenset[str]) -> frozenset[str]:
    """One set for all keys with the same permissions."""
    return permissions


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Yes or no, with the reason. `limits` are overrides by their wire names (`common.limits`).

    No model of its own, as each connection keeps one: that would be 1.2 KB more.
    """

    allowed: bool
    reason: str = ""
    """Told to the client when refused."""
    user: str | None = None
    permissions: Annotated[frozenset[str], AfterValidator(_shared)] = frozenset()
    limits: dict[str, int | None] = field(default_factory=dict)
    expires_at: int | None = None
    """When the key itself ends, milliseconds since 1970."""
    retryable: bool = False
    """The key store could not answer: not a refusal."""


class AuthRequest(Record):
    request: int
    slot: Slot
    epoch: FencingEpoch
    key_hash: KeyHash
    at: int


class AuthReply(Record):
    request: int
    epoch: FencingEpoch
    key_hash: KeyHash
    decision: Decision

    def encode(self) -> bytes:
        # Nulls in `limits` mean "no limit", so they are kept.
        return self.model_dump_json().encode()


class Revocation(Record):
    key_hash: KeyHash
    at: int
    reason: str = "revoked"
