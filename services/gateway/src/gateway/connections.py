"""All connections of this gateway: who may come in, whom a key's end concerns, when each has a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common import metrics
from common.clock import Clock
from common.errors import ErrorCode
from common.events import Decision
from common.identifiers import ConnectionId, FencingEpoch, KeyHash, RoomId, Slot
from common.rooms import Room
from gateway.authentication import Authentication
from gateway.handshake import Handshake, Networks
from gateway.hub import Hub
from gateway.limits import AddressLimits
from gateway.opening import Openings
from gateway.outages import Outages
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.session import Profile, Session
from gateway.reports import Reports
from gateway.sending import FrameSender
from gateway.websocket import WebSocket
from gateway.wheel import Wheel

WHEEL_GRANULARITY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is closed right after its welcome."""

    close_code: CloseCode
    error: ErrorCode
    message: str
    retryable: bool = True
    retry_after: float | None = None
    """Seconds until trying again may help, where that is known."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may connect. `connections` is the most sockets at a time, `a_minute` the new ones of one address."""

    path: str
    trusted: Networks
    connections: int
    a_minute: int
    outbox_bytes: int
    replay_bytes: int


class Connections:
    def __init__(
        self,
        hub: Hub,
        authentication: Authentication,
        reports: Reports,
        outages: Outages,
        *,
        profile: Profile,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self.hub = hub
        self.profile = profile
        self.openings = Openings(admission.path, trusted=admission.trusted)
        self.outbox_bytes = admission.outbox_bytes
        self.replay_bytes = admission.replay_bytes
        self.validate = authentication.validate
        self.now = clock.monotonic
        self.now_ms = clock.now_ms
        self.draining = False
        self.empty = asyncio.Event()
        """Set while no connection is open."""
        self.empty.set()
        self._reports = reports
        self._outages = outages
        self._most = admission.connections
        self._addresses = AddressLimits(admission.a_minute)
        self._open: dict[WebSocket, None] = {}
        self._by_key: dict[KeyHash, set[WebSocket]] = {}
        self._seen: list[ConnectionId] = []
        self._wheel: Wheel[WebSocket] = Wheel(granularity=WHEEL_GRANULARITY_SECONDS, now=clock.monotonic())

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> Sequence[WebSocket]:
        return tuple(self._open)

    def is_open(self, connection: WebSocket) -> bool:
        return connection in self._open

    def authenticated(self) -> Sequence[WebSocket]:
        return [each for each in self._open if each.session.decision is not None]

    # The slot -------------------------------------------------------------------------------------------------------

    def leased(self, slot: Slot, epoch: FencingEpoch) -> None:
        self._reports.leased(slot, epoch)

    def lost(self) -> None:
        """The slot is gone: what comes for it is for somebody else, so every connection must find another place."""
        self._reports.lost()
        text = "this gateway has lost its place; reconnect"
        for connection in self.all():
            connection.fail(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, text, retryable=True)

    # One connection's life ------------------------------------------------------------------------------------------

    def admit(self, connection: WebSocket, handshake: Handshake) -> Refusal | None:
        """Take the connection in; a refusal says why it is to be closed again."""
        self._open[connection] = None
        self.empty.clear()
        metrics.gateway_connections.inc()
        metrics.gateway_connections_opened_total.inc()
        if self.draining:
            return Refusal(CloseCode.DRAINING, ErrorCode.UNAVAILABLE, "this gateway is draining; reconnect")
        if not self._reports.possible:
            text = "this gateway cannot serve at the moment; try again"
            return Refusal(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, text)
        if len(self._open) > self._most:
            return Refusal(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, "this gateway is full; try again")
        wait = self._addresses.admit(handshake.address, self.now()) if handshake.limited else None
        if wait is not None:
            text = f"too many new connections from {handshake.address}; try again in {wait:.0f} s"
            return Refusal(CloseCode.RATE_LIMITED, ErrorCode.RATE_LIMITED, text, retry_after=wait)
        return None

    def is_full(self, session: Session, decision: Decision) -> bool:
        """Whether the key has its full number of open connections here."""
        most = self.profile.limits.with_overrides(decision.limits).connections
        key_hash = session.key_hash
        return most is not None and key_hash is not None and len(self._by_key.get(key_hash, ())) >= most

    def register(self, connection: WebSocket, session: Session) -> None:
        """The connection was authenticated."""
        key_hash = session.key_hash
        if key_hash is None:
            return
        self._by_key.setdefault(key_hash, set()).add(connection)
        self.hub.register(connection)
        self._outages.joined(connection)
        self._reports.opened(session.id, key_hash=key_hash, user=session.user, address=connection.address)

    def remove(self, connection: WebSocket, session: Session) -> None:
        """The connection has ended, by whichever side."""
        if connection not in self._open:
            return
        del self._open[connection]
        if not self._open:
            self.empty.set()
        metrics.gateway_connections.dec()
        metrics.gateway_connections_closed_total.labels(code=str(int(connection.close_code))).inc()
        if session.decision is None:
            return
        self.hub.unregister(connection, session.rooms.values())
        self._outages.left(connection)
        if session.key_hash is not None and (same := self._by_key.get(session.key_hash)) is not None:
            same.discard(connection)
            if not same:
                del self._by_key[session.key_hash]
        self._reports.closed(session.id, int(connection.close_code))

    def subscribed(self, session: Session, rooms: Iterable[Room]) -> None:
        """The connection is in these rooms now."""
        self._reports.subscribed(session.id, rooms)

    def leave(self, connection: WebSocket, session: Session, room: Room) -> None:
        """Take the connection out of a room, here at once."""
        self.hub.leave(connection, room)
        self._reports.unsubscribed(session.id, room.id)

    def unsubscribed(self, session: Session, room: Room) -> None:
        """The connection is out of the room, which the hub has seen to."""
        self._reports.unsubscribed(session.id, room.id)

    def restate(self, connection: WebSocket, room: RoomId | None, *, held: bool) -> None:
        """Tell the registry again of an open connection, or whether it is in a room, as it was told when it happened."""
        session = connection.session
        if session.key_hash is None or connection not in self._open:
            return
        if room is None:
            started = self.now_ms() - round((self.now() - session.started) * 1000)
            self._reports.opened(
                session.id,
                key_hash=session.key_hash,
                user=session.user,
                address=connection.address,
                connected_at=started,
            )
        elif held and room in session.rooms:
            self._reports.subscribed(session.id, (session.rooms[room],))
        elif not held and room not in session.rooms:
            self._reports.unsubscribed(session.id, room)

    def restate_closed(self, connection: ConnectionId) -> None:
        """Tell the registry again of the end of a connection that is none of ours any more."""
        self._reports.closed(connection, CloseCode.ABNORMAL)

    def revoke(self, key_hash: KeyHash) -> None:
        """Close every connection of a key."""
        for connection in tuple(self._by_key.get(key_hash, ())):
            connection.fail(CloseCode.KEY_REVOKED, ErrorCode.INVALID_API_KEY, "the API key was revoked")

    def send_failed(self, connection: FrameSender, frames: int) -> None:
        """One connection could not be given its frames: it ends, the others do not notice."""
        metrics.gateway_sends_failed_total.inc(frames)
        connection.abort()

    # Time -----------------------------------------------------------------------------------------------------------

    def wake_at(self, connection: WebSocket, at: float) -> None:
        self._wheel.schedule(connection, at)

    def seen(self, session: Session) -> None:
        self._seen.append(session.id)

    def tick(self) -> None:
        """Give each connection whose time has come its turn, and tell the registry who was heard."""
        now = self.now()
        for connection in self._wheel.due(now):
            if connection in self._open:
                connection.tick(now)
        seen, self._seen = self._seen, []
        self._reports.seen(seen)
