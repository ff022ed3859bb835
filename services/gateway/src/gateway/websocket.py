"""One WebSocket: bytes to session, effects to bytes. uvicorn makes it on `Upgrade: websocket` and hands the transport over.

No task, queue or timer of its own: deadlines are the wheel's, fan-out is the hub's; frames wait only while the peer is slow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, Protocol, Side
from websockets.server import ServerProtocol

from common import metrics
from common.errors import ErrorCode
from common.events import Decision
from common.identifiers import new_connection_id
from common.rooms import Room
from gateway.catching import CatchUp as CatchingConnection
from gateway.handshake import Handshake, read_handshake
from gateway.outbox import Entity, Outbox
from gateway.protocol import replies
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.effects import (
    Abort,
    CancelJoin,
    CatchUp,
    Close,
    Effect,
    Join,
    Leave,
    Register,
    Seen,
    Send,
    SendPing,
    ValidateKey,
)
from gateway.protocol.frames import PING, text_frame
from gateway.protocol.replies import Notice
from gateway.protocol.session import Session, State
from gateway.replaying import Replaying

if TYPE_CHECKING:
    from gateway.activation import Waiting
    from gateway.connections import Connections

_LOGGER = logging.getLogger("websockets.server")
_WRITE_HIGH_WATER = 64 * 1024


class WebSocket(asyncio.Protocol):
    """A connection from accept to close; `gateway.hub.Member` for the fan-out."""

    __slots__ = (
        "_connections",
        "_outbox",
        "_parts",
        "_protocol",
        "_transport",
        "_waiting",
        "address",
        "catching_up",
        "close_code",
        "frames",
        "sent",
        "session",
    )

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._protocol: Protocol = ServerProtocol(max_size=connections.profile.limits.message_bytes, logger=_LOGGER)
        self._outbox: Outbox | None = None
        self._parts: list[bytes] | None = None
        self._waiting: dict[int, Waiting | Room] | None = None
        self.session: Session | None = None
        self.frames: list[bytes] = []
        self.sent = 0
        self.catching_up = 0
        self.address = ""
        self.close_code: int = CloseCode.ABNORMAL

    # asyncio.Protocol -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        session, protocol = self.session, self._protocol
        protocol.receive_data(data)
        if session is not None:
            session.heard(self._connections.now())
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._frame_received(event)
            elif isinstance(event, Request):
                self._handshake(event)
        if self._protocol.parser_exc is not None:
            self._protocol_failed(self._protocol.parser_exc)
        self._flush_protocol()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush_protocol()

    def connection_lost(self, _error: Exception | None) -> None:
        # A protocol and its parser refer to each other: without this each connection would wait for the garbage collector.
        self._protocol.parser.close()
        session = self.session
        if session is None:
            return
        self._withdraw(session)
        session.ended()
        self._connections.remove(self, session)

    def pause_writing(self) -> None:
        self._outbox = self._outbox or Outbox(self._connections.outbox_bytes)

    def resume_writing(self) -> None:
        """The transport has room again: write what waits until it is full once more, or nothing waits."""
        outbox, self._outbox = self._outbox, None
        while outbox and self._outbox is None:
            self._transport.write(outbox.take())
        if outbox:
            self._outbox = outbox

    # hub.Member -----------------------------------------------------------------------------------------------------

    @property
    def user(self) -> str | None:
        return self.session.user if self.session is not None else None

    def flush(self, entities: Mapping[int, Entity]) -> None:
        frames = self.frames
        count = len(frames)
        if not count:
            return
        try:
            if self._outbox is None:
                self._transport.write(frames[0] if count == 1 else b"".join(frames))
            else:
                self._queue(self._outbox, frames, entities)
            self.sent += count
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the others
            # One connection's trouble is its own: the others of this fan-out get theirs.
            self._connections.send_failed(self, count)
        frames.clear()

    def _queue(self, outbox: Outbox, frames: Iterable[bytes], entities: Mapping[int, Entity]) -> None:
        if self.catching_up:
            outbox.allow(self._connections.replay_bytes)
        if not outbox.extend(frames, entities):
            self._overflow()

    def _overflow(self) -> None:
        metrics.gateway_slow_consumers_total.inc()
        self._outbox = None
        self.frames.clear()
        if self.session is not None:
            text = "too slow to read its updates; reconnect with the last cursor"
            notice = replies.notice(Notice.SLOW_CONSUMER, text)
            self.carry_out(
                self.session.close(CloseCode.SLOW_CONSUMER, text, now=self._connections.now(), notice=notice)
            )

    # Handshake ------------------------------------------------------------------------------------------------------

    def _handshake(self, request: Request) -> None:
        server = cast(ServerProtocol, self._protocol)
        handshake = read_handshake(request, self._peer(), trusted=self._connections.trusted)
        if handshake.path != self._connections.path:
            server.send_response(server.reject(404, f"WebSockets are at {self._connections.path}\n"))
            return
        response = server.accept(request)
        server.send_response(response)
        if response.status_code != 101:
            return
        self._flush_protocol()
        server.parser.close()
        # The handshake object holds both sides' headers; a plain protocol is half its size.
        self._protocol = Protocol(
            Side.SERVER, state=OPEN, max_size=self._connections.profile.limits.message_bytes, logger=_LOGGER
        )
        self._open(handshake)

    def _open(self, handshake: Handshake) -> None:
        now, now_ms = self._connections.now(), self._connections.now_ms()
        self.address = handshake.address
        self.session = session = Session(new_connection_id(), self._connections.profile, now=now)
        refusal = self._connections.admit(self, handshake)
        if refusal is not None:
            self.carry_out(session.opened(None, now_ms=now_ms))
            code, retry_after = refusal.close_code, refusal.retry_after
            self.carry_out(
                session.fail(
                    code,
                    refusal.error,
                    refusal.message,
                    now=now,
                    retryable=refusal.retryable,
                    retry_after=retry_after,
                )
            )
        else:
            self.carry_out(session.opened(handshake.api_key, now_ms=now_ms))
        self._connections.wake_at(self, session.next_tick())

    def _peer(self) -> str:
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) and peer else ""

    # Messages -------------------------------------------------------------------------------------------------------

    def _frame_received(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                self._text_received(frame)
            case Opcode.BINARY:
                self.fail(
                    CloseCode.UNSUPPORTED_DATA,
                    ErrorCode.BAD_REQUEST,
                    "binary frames are not understood; send JSON text",
                )
            case Opcode.CLOSE:
                self._peer_closed()

    def _text_received(self, frame: Frame) -> None:
        if not frame.fin:
            self._parts = [] if self._parts is None else self._parts
            # Empty fragments count towards no limit of size: they must not be kept.
            if frame.data:
                self._parts.append(bytes(frame.data))
            return
        text = bytes(frame.data) if self._parts is None else b"".join((*self._parts, frame.data))
        self._parts = None
        try:
            text.decode()
        except UnicodeDecodeError:
            self.fail(CloseCode.INVALID_DATA, ErrorCode.BAD_REQUEST, "a text message must be UTF-8")
            return
        if self.session is not None:
            self.carry_out(self.session.receive(text, now=self._connections.now(), now_ms=self._connections.now_ms()))

    def _protocol_failed(self, error: Exception) -> None:
        """The protocol has put its close into its output already: say why before that goes out."""
        session, sent = self.session, self._protocol.close_sent
        if session is None or sent is None or session.state is State.CLOSING:
            return
        limit = self._protocol.max_message_size
        message = f"a message may have at most {limit} bytes" if isinstance(error, PayloadTooBig) else str(error)
        self.close_code = sent.code
        effects = session.fail(CloseCode(sent.code), ErrorCode.BAD_REQUEST, message, now=self._connections.now())
        self.carry_out([effect for effect in effects if not isinstance(effect, Close)])
        self._withdraw(session)
        self._connections.wake_at(self, session.next_tick())

    def _peer_closed(self) -> None:
        session, received = self.session, self._protocol.close_rcvd
        if session is None or received is None:
            return
        if self._protocol.close_sent is None or self._protocol.close_rcvd_then_sent:
            self.close_code = received.code
        session.closing(self._connections.now())
        self._withdraw(session)
        self._connections.wake_at(self, session.next_tick())

    def _withdraw(self, session: Session) -> None:
        """Take part in nothing any more: after a close no frame may follow, and nothing is kept for a peer that does not read."""
        self._outbox = None
        self.frames = []
        for waiting in (self._waiting or {}).values():
            self._give_up(waiting)
        self._waiting = None
        self._connections.hub.unregister(self, session.rooms.values())

    # Effects --------------------------------------------------------------------------------------------------------

    def carry_out(self, effects: Iterable[Effect]) -> None:  # noqa: C901, PLR0912 - flat, one case an effect
        """Do what the session wants, in order."""
        for effect in effects:
            match effect:
                case Send(payload=payload, error=error):
                    self._write(text_frame(payload))
                    if error is not None:
                        metrics.gateway_errors_total.labels(code=error.value).inc()
                case SendPing():
                    self._write(PING)
                case Join(ticket=ticket, rooms=rooms):
                    self._join(ticket, rooms)
                case CatchUp():
                    self._catch_up(effect)
                case CancelJoin(ticket=ticket):
                    self._cancel_join(ticket)
                case Leave(room=room):
                    self._leave(room)
                case ValidateKey(key_hash=key_hash):
                    self._connections.validate(key_hash, self._decided)
                case Register():
                    self._register()
                case Seen():
                    self._seen()
                case Close(code=code, reason=reason):
                    self._close(code, reason)
                case Abort():
                    self.abort()

    def _answer(self, effects: Iterable[Effect]) -> None:
        """What came of a subscribe; a connection that is being closed is told no more."""
        if self.session is not None and self.session.state is State.READY:
            self.carry_out(effects)

    def fail(self, code: CloseCode, error: ErrorCode, message: str, *, retryable: bool = False) -> None:
        """Say why, then close."""
        if self.session is not None:
            self.carry_out(self.session.fail(code, error, message, now=self._connections.now(), retryable=retryable))

    def push(self, payload: bytes) -> None:
        """Send a push that no command asked for."""
        if self.session is not None and self.session.state is not State.CLOSING:
            self._write(text_frame(payload))

    def abort(self) -> None:
        """End the transport without a word."""
        self._transport.abort()

    def tick(self, now: float) -> None:
        """The wheel: a deadline of the session may have come."""
        if self.session is None:
            return
        self.carry_out(self.session.tick(now=now, now_ms=self._connections.now_ms(), sent=self.sent))
        if not self._transport.is_closing():
            self._connections.wake_at(self, self.session.next_tick())

    def _write(self, frame: bytes) -> None:
        if self.frames:
            # A cursor in the reply counts the updates of this tick as sent.
            self.flush({})
        if self._outbox is None:
            self._transport.write(frame)
        else:
            self._queue(self._outbox, (frame,), {})

    def _decided(self, decision: Decision) -> None:
        session = self.session
        if session is None:
            return
        now, now_ms = self._connections.now(), self._connections.now_ms()
        if decision.allowed and self._connections.is_full(session, decision):
            message = "the key has its full number of open connections"
            self.carry_out(session.fail(CloseCode.TOO_MANY_CONNECTIONS, ErrorCode.RATE_LIMITED, message, now=now))
            return
        self.carry_out(session.decided(decision, now=now, now_ms=now_ms))
        # What is due now may be sooner than what the wheel knows: the end of the key, or of a short life.
        self._connections.wake_at(self, session.next_tick())

    def _register(self) -> None:
        if self.session is not None:
            self._protocol.max_message_size = self.session.limits.message_bytes
            self._connections.register(self, self.session)

    def _seen(self) -> None:
        if self.session is not None:
            self._connections.seen(self.session)

    def _leave(self, room: Room) -> None:
        if self.session is not None:
            self._connections.leave(self, self.session, room)

    def _join(self, ticket: int, rooms: tuple[Room, ...]) -> None:
        done = partial(self._joined, ticket, rooms, self._connections.now())
        failed = partial(self._join_failed, ticket)
        waiting = self._connections.hub.join(self, rooms, done=done, failed=failed)
        if self.session is not None and ticket in (self.session.subscriptions.pending or ()):
            self._waiting = {**(self._waiting or {}), ticket: waiting}

    def _joined(self, ticket: int, rooms: Sequence[Room], asked_at: float) -> None:
        self._forget_waiting(ticket)
        metrics.gateway_activation_seconds.observe(self._connections.now() - asked_at)
        if self.session is not None:
            fresh = [room for room in rooms if room.id not in self.session.rooms]
            self._answer(self.session.subscriptions.joined(ticket))
            self._connections.subscribed(self.session, fresh)

    def _join_failed(self, ticket: int, message: str) -> None:
        self._forget_waiting(ticket)
        if self.session is not None:
            self._answer(self.session.subscriptions.failed(ticket, None, ErrorCode.UNAVAILABLE, message))

    def _cancel_join(self, ticket: int) -> None:
        waiting = self._forget_waiting(ticket)
        if waiting is not None:
            self._give_up(waiting)

    def _give_up(self, waiting: Waiting | Room) -> None:
        if isinstance(waiting, Room):
            self._connections.hub.leave(self, waiting)
        else:
            self._connections.hub.activation.cancel(waiting)

    def _catch_up(self, effect: CatchUp) -> None:
        self._waiting = {**(self._waiting or {}), effect.ticket: effect.room}
        had = dict(effect.since.offsets) if effect.since is not None else {}
        listener = Replaying(self, effect.ticket, effect.room)
        self._connections.hub.catch_up(
            CatchingConnection(self, effect.room, effect.since, effect.snapshot, listener, had)
        )

    def catch_up_begun(self, ticket: int, room: Room) -> None:
        self._forget_waiting(ticket)
        if self.session is not None:
            fresh = room.id not in self.session.rooms
            self._answer(self.session.subscriptions.begun(ticket))
            self._connections.subscribed(self.session, (room,) if fresh else ())

    def catch_up_failed(
        self, ticket: int, room: Room, code: ErrorCode, message: str, *, oldest: str | None = None
    ) -> None:
        """The hub has let the room go already."""
        self._forget_waiting(ticket)
        if self.session is not None:
            held = room.id in self.session.rooms
            self._answer(self.session.subscriptions.failed(ticket, room.id, code, message, oldest=oldest))
            if held:
                self._connections.unsubscribed(self.session, room)

    def _forget_waiting(self, ticket: int) -> Waiting | Room | None:
        waiting = self._waiting.pop(ticket, None) if self._waiting else None
        if not self._waiting:
            self._waiting = None
        return waiting

    def _close(self, code: int, reason: str) -> None:
        self.close_code = code
        if self.session is not None:
            self._withdraw(self.session)
            self._connections.wake_at(self, self.session.next_tick())
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, _short(reason))
        self._flush_protocol()

    def _flush_protocol(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._write(data)
            elif self.session is not None and self._transport.can_write_eof() and not self._transport.is_closing():
                # Closing with unread input would reset the connection, and the peer could lose what it is being told.
                self._transport.write_eof()
            else:
                self._transport.close()


def _short(reason: str) -> str:
    """A close reason has room for 123 bytes (RFC 6455, section 5.5)."""
    return reason.encode()[:123].decode(errors="ignore")


def protocol_factory(connections: Connections) -> Any:
    """What uvicorn takes as its `ws=` class."""

    def make(*_args: object, **_kwargs: object) -> WebSocket:
        return WebSocket(connections)

    return make
