"""One WebSocket: bytes to session, effects to bytes. uvicorn makes it on `Upgrade: websocket` and hands the transport over.

    OPENING -- handshake accepted --> OPEN -- our close is sent --> CLOSING -- the peer's came, or nonsense --> ENDED
                                        +------- the peer closes, or sends what it must not --------------------^

No task, queue or timer of its own: deadlines are the wheel's, fan-out is the hub's; frames wait only while the peer is slow.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

from websockets.http11 import Request

from common import metrics
from common.errors import ErrorCode
from common.events import Decision
from common.identifiers import new_connection_id
from gateway import joining
from gateway.handshake import Handshake
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
from gateway.protocol.frames import PING, close_frame, close_payload, pong_frame, text_frame
from gateway.protocol.incoming import Event, Incoming, PeerClose, Ping, Text, Violation
from gateway.protocol.replies import Notice
from gateway.protocol.session import Session, State
from gateway.sending import FrameSender

if TYPE_CHECKING:
    from gateway.connections import Connections


class Phase(Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    ENDED = "ended"
    """Nothing is read any more."""


class WebSocket(FrameSender):
    """A connection from accept to close; `gateway.hub.Member` for the fan-out."""

    __slots__ = (
        "_incoming",
        "_phase",
        "address",
        "asked",
        "close_code",
        "session",
    )
    session: Session
    """There once the handshake is accepted."""

    def __init__(self, owner: Connections) -> None:
        super().__init__(owner)
        self._phase = Phase.OPENING
        self._incoming: Incoming | None = None
        self.asked: joining.Asked | None = None
        self.address = ""
        self.close_code: int = CloseCode.ABNORMAL

    # asyncio.Protocol -----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._phase in (Phase.OPEN, Phase.CLOSING):
            self._receive(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._phase is Phase.OPENING:
            return
        self._withdraw()
        self.session.ended()
        self.owner.remove(self, self.session)

    def overflowed(self) -> None:
        metrics.gateway_slow_consumers_total.inc()
        self.drop()
        text = "too slow to read its updates; reconnect with the last cursor"
        notice = replies.notice(Notice.SLOW_CONSUMER, text)
        self.carry_out(self.session.close(CloseCode.SLOW_CONSUMER, text, now=self.owner.now(), notice=notice))

    @property
    def user(self) -> str | None:
        return self.session.user

    # Opening --------------------------------------------------------------------------------------------------------

    def upgrade(self, request: Request) -> None:
        """Answer the handshake: the connection is open then, or refused and closing."""
        answer = self.owner.openings.answer(request, self._peer())
        if answer.handshake is None:
            self._transport.write(answer.response)
            self._transport.close()
        else:
            self._open(answer.handshake, answer.response)

    def _open(self, handshake: Handshake, response: bytes) -> None:
        self.address = handshake.address
        self.session = session = Session(new_connection_id(), self.owner.profile, now=self.owner.now())
        self._phase = Phase.OPEN
        refusal = self.owner.admit(self, handshake)
        # One write, as each costs more than all the rest of a handshake.
        self._transport.write(response + text_frame(session.welcome(now_ms=self.owner.now_ms())))
        if refusal is None:
            self.carry_out(session.opened(handshake.api_key))
        else:
            code, error, retry_after = refusal.close_code, refusal.error, refusal.retry_after
            self.fail(code, error, refusal.message, retryable=refusal.retryable, retry_after=retry_after)
        self._wake()

    def _peer(self) -> str:
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) and peer else ""

    # What the peer sends --------------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        self.session.heard(self.owner.now())
        incoming = self._incoming or Incoming()
        events = incoming.receive(data, limit=self.session.limits.message_bytes)
        self._incoming = None if incoming.is_idle else incoming
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Text(payload=payload):
                self.carry_out(self.session.receive(payload, now=self.owner.now(), now_ms=self.owner.now_ms()))
            case Ping(payload=payload):
                if self._phase is Phase.OPEN:
                    self.write(pong_frame(payload))
            case PeerClose():
                self._peer_closed(event)
            case Violation(code=code, message=message):
                self.fail(code, ErrorCode.BAD_REQUEST, message)
                self._end()

    def _peer_closed(self, event: PeerClose) -> None:
        asked = self._phase is Phase.OPEN
        self.session.closing(self.owner.now())
        self._withdraw()
        if asked:
            self.close_code = event.code
            self.write(close_frame(event.payload))
        self._end()
        self._wake()

    def _end(self) -> None:
        """Nothing is said or understood any more; the peer ends the transport, or the session's deadline does."""
        self._phase, self._incoming = Phase.ENDED, None
        if self._transport.can_write_eof() and not self._transport.is_closing():
            # Closing with unread input would reset the connection, and the peer could lose what it is being told.
            self._transport.write_eof()
        else:
            self._transport.close()

    def _withdraw(self) -> None:
        """Take part in nothing any more: after a close no frame may follow, and nothing is kept for a peer that does not read."""
        self.drop()
        joining.cancel_all(self)
        self.owner.hub.unregister(self, self.session.rooms.values())

    # Effects --------------------------------------------------------------------------------------------------------

    def carry_out(self, effects: Iterable[Effect]) -> None:  # noqa: C901, PLR0912 - flat, one case an effect
        """Do what the session wants, in order."""
        for effect in effects:
            match effect:
                case Send(payload=payload, error=error):
                    self.write(text_frame(payload))
                    if error is not None:
                        metrics.gateway_errors_total.labels(code=error.value).inc()
                case SendPing():
                    self.write(PING)
                case Join():
                    joining.join(self, effect)
                case CatchUp():
                    joining.catch_up(self, effect)
                case CancelJoin(ticket=ticket):
                    joining.cancel(self, ticket)
                case Leave(room=room):
                    self.owner.leave(self, self.session, room)
                case ValidateKey(key_hash=key_hash):
                    self.owner.validate(key_hash, self._decided)
                case Register():
                    self.owner.register(self, self.session)
                case Seen():
                    self.owner.seen(self.session)
                case Close(code=code, reason=reason):
                    self._close(code, reason)
                case Abort():
                    self.abort()

    def fail(
        self,
        code: CloseCode,
        error: ErrorCode,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """Say why, then close."""
        now = self.owner.now()
        self.carry_out(self.session.fail(code, error, message, now=now, retryable=retryable, retry_after=retry_after))

    def push(self, payload: bytes) -> None:
        """Send a push that no command asked for."""
        if self.session.state is not State.CLOSING:
            self.write(text_frame(payload))

    def tick(self, now: float) -> None:
        """The wheel: a deadline of the session may have come."""
        self.carry_out(self.session.tick(now=now, now_ms=self.owner.now_ms(), sent=self.sent))
        if not self._transport.is_closing():
            self._wake()

    def _wake(self) -> None:
        self.owner.wake_at(self, self.session.next_tick())

    def _decided(self, decision: Decision) -> None:
        now, now_ms = self.owner.now(), self.owner.now_ms()
        if decision.allowed and self.owner.is_full(self.session, decision):
            message = "the key has its full number of open connections"
            self.fail(CloseCode.TOO_MANY_CONNECTIONS, ErrorCode.RATE_LIMITED, message)
            return
        self.carry_out(self.session.decided(decision, now=now, now_ms=now_ms))
        # What is due now may be sooner than what the wheel knows: the end of the key, or of a short life.
        self._wake()

    def _close(self, code: int, reason: str) -> None:
        self.close_code = code
        self._withdraw()
        self._wake()
        if self._phase is Phase.OPEN:
            self._phase = Phase.CLOSING
            self.write(close_frame(close_payload(code, reason)))
