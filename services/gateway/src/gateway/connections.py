"""All connections of this gateway: who may come in, what the other services are told of them, when each has a deadline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common import metrics
from common.clock import Clock
from common.errors import ErrorCode
from common.events import (
    ConnectionClosed,
    ConnectionOpened,
    ConnectionsSeen,
    Decision,
    FromGateway,
    Subscribed,
    Unsubscribed,
)
from common.identifiers import ConnectionId, FencingEpoch, GatewayId, KeyHash, Slot
from common.rooms import Room
from common.topics import Topics
from gateway.authentication import Authentication
from gateway.handshake import Handshake, Networks
from gateway.hub import Hub
from gateway.limits import AddressLimits
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.session import Profile, Session
from gateway.records import Records
from gateway.websocket import WebSocket
from gateway.wheel import Wheel

WHEEL_GRANULARITY_SECONDS = 0.1
_SEEN_PER_RECORD = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is closed right after its welcome."""

    close_code: CloseCode
    error: ErrorCode
    message: str
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may connect. `connections` is the most sockets at a time, `a_minute` the new ones of one address."""

    path: str
    trusted: Networks
    connections: int
    a_minute: int
    outbox_bytes: int


class Connections:
    def __init__(
        self,
        gateway: GatewayId,
        hub: Hub,
        authentication: Authentication,
        records: Records,
        topics: Topics,
        profile: Profile,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self.hub = hub
        self.profile = profile
        self.path = admission.path
        self.trusted = admission.trusted
        self.outbox_bytes = admission.outbox_bytes
        self.validate = authentication.validate
        self.now = clock.monotonic
        self.now_ms = clock.now_ms
        self.draining = False
        self._gateway = gateway
        self._records = records
        self._topics = topics
        self._most = admission.connections
        self._addresses = AddressLimits(admission.a_minute)
        self._lease: tuple[Slot, FencingEpoch] | None = None
        self._open: dict[WebSocket, None] = {}
        self._by_key: dict[KeyHash, set[WebSocket]] = {}
        self._seen: list[ConnectionId] = []
        self._wheel: Wheel[WebSocket] = Wheel(granularity=WHEEL_GRANULARITY_SECONDS, now=clock.monotonic())

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> Sequence[WebSocket]:
        return tuple(self._open)

    # The slot -------------------------------------------------------------------------------------------------------

    def leased(self, slot: Slot, epoch: FencingEpoch) -> None:
        self._lease = (slot, epoch)

    def lost(self) -> None:
        """The slot is gone: what comes for it is for somebody else, so every connection must find another place."""
        self._lease = None
        for connection in self.all():
            if (session := connection.session) is not None:
                text = "this gateway has lost its place; reconnect"
                connection.carry_out(
                    session.fail(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, text, now=self.now(), retryable=True)
                )

    # One connection's life ------------------------------------------------------------------------------------------

    def admit(self, connection: WebSocket, handshake: Handshake) -> Refusal | None:
        """Take the connection in; a refusal says why it is to be closed again."""
        self._open[connection] = None
        metrics.gateway_connections.inc()
        metrics.gateway_connections_opened_total.inc()
        if self.draining:
            return Refusal(CloseCode.DRAINING, ErrorCode.UNAVAILABLE, "this gateway is draining; reconnect")
        if self._lease is None or self._records.is_full:
            return Refusal(
                CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, "this gateway cannot serve at the moment; try again"
            )
        if len(self._open) > self._most:
            return Refusal(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, "this gateway is full; try again")
        wait = self._addresses.admit(handshake.address, self.now()) if handshake.limited else None
        if wait is not None:
            text = f"too many new connections from {handshake.address}; try again in {wait:.0f} s"
            return Refusal(CloseCode.RATE_LIMITED, ErrorCode.RATE_LIMITED, text)
        return None

    def is_full(self, session: Session, decision: Decision) -> bool:
        """Whether the key has its full number of open connections here."""
        most = self.profile.limits.with_overrides(decision.limits).connections
        return most is not None and session.key_hash is not None and len(self._by_key.get(session.key_hash, ())) >= most

    def register(self, connection: WebSocket, decision: Decision) -> None:
        session = connection.session
        if session is None or session.key_hash is None or self._lease is None:
            return
        self._by_key.setdefault(session.key_hash, set()).add(connection)
        self.hub.register(connection)
        now_ms, (slot, epoch) = self.now_ms(), self._lease
        event = ConnectionOpened(
            slot=slot,
            epoch=epoch,
            at=now_ms,
            connection=session.id,
            gateway=self._gateway,
            key_hash=session.key_hash,
            user=decision.user,
            address=connection.address,
            connected_at=now_ms,
        )
        self._tell(self._topics.connections_events, session.id, event)

    def remove(self, connection: WebSocket) -> None:
        """The connection has ended, by whichever side."""
        if self._open.pop(connection, self) is self:
            return
        metrics.gateway_connections.dec()
        metrics.gateway_connections_closed_total.labels(code=str(connection.close_code)).inc()
        session = connection.session
        if session is None or session.decision is None:
            return
        self.hub.unregister(connection, session.rooms.values())
        if session.key_hash is not None and (same := self._by_key.get(session.key_hash)) is not None:
            same.discard(connection)
            if not same:
                del self._by_key[session.key_hash]
        if self._lease is not None:
            slot, epoch = self._lease
            event = ConnectionClosed(
                slot=slot, epoch=epoch, at=self.now_ms(), connection=session.id, code=int(connection.close_code)
            )
            self._tell(self._topics.connections_events, session.id, event)

    def subscribed(self, connection: WebSocket, rooms: Iterable[Room]) -> None:
        """Tell the registry of rooms that the connection is in now."""
        if self._lease is None or connection.session is None:
            return
        slot, epoch = self._lease
        for room in rooms:
            event = Subscribed(
                slot=slot,
                epoch=epoch,
                at=self.now_ms(),
                connection=connection.session.id,
                room=room.id,
                channel=room.channel,
                filter=room.filter.to_json(),
            )
            self._tell(self._topics.subscriptions_events, connection.session.id, event)

    def leave(self, connection: WebSocket, room: Room) -> None:
        """Take the connection out of a room, here at once, and tell the registry."""
        self.hub.leave(connection, room)
        if self._lease is not None and connection.session is not None:
            slot, epoch = self._lease
            event = Unsubscribed(
                slot=slot, epoch=epoch, at=self.now_ms(), connection=connection.session.id, room=room.id
            )
            self._tell(self._topics.subscriptions_events, connection.session.id, event)

    def revoke(self, key_hash: KeyHash) -> None:
        """Close every connection of a key."""
        for connection in tuple(self._by_key.get(key_hash, ())):
            if connection.session is not None:
                connection.carry_out(connection.session.revoked(now=self.now()))

    def send_failed(self, connection: WebSocket, frames: int) -> None:
        """One connection could not be given its frames: it ends, the others do not notice."""
        metrics.gateway_sends_failed_total.inc(frames)
        connection.abort()

    # Time -----------------------------------------------------------------------------------------------------------

    def wake_at(self, connection: WebSocket, at: float) -> None:
        self._wheel.schedule(connection, at)

    def seen(self, connection: WebSocket) -> None:
        if connection.session is not None:
            self._seen.append(connection.session.id)

    def tick(self) -> None:
        """Give each connection whose time has come its turn, and tell the registry who was heard."""
        now = self.now()
        for connection in self._wheel.due(now):
            if connection in self._open:
                connection.tick(now)
        seen, self._seen = self._seen, []
        if self._lease is None:
            return
        slot, epoch = self._lease
        for start in range(0, len(seen), _SEEN_PER_RECORD):
            event = ConnectionsSeen(
                slot=slot, epoch=epoch, at=self.now_ms(), connections=seen[start : start + _SEEN_PER_RECORD]
            )
            self._tell(self._topics.connections_events, str(slot), event)

    def _tell(self, topic: str, key: str, event: FromGateway) -> None:
        self._records.put(topic, key.encode(), event.encode())
