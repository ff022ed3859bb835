r"""The client's side of the conversation: what to do on each frame and each close. Knows no socket, no task and no clock.

    OFFLINE --connected--> AUTHENTICATING --authenticated--> READY
       ^                         |                             |
       \------ closed, and the code allows to come back -------/        any other close, from any state --> ENDED

Every method returns effects for a driver to carry out in order.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

from defistream import commands, events
from defistream.backoff import Backoff
from defistream.close_codes import Verdict, requested_delay, verdict
from defistream.cursors import Cursor
from defistream.effects import NOTHING, Announce, Effects, Finish, Ready, Reconnect, Send, Stop
from defistream.errors import AuthenticationFailed, ConnectionClosed, ConnectionFailed, DefistreamError
from defistream.filters import Filters
from defistream.messages import (
    Authenticated,
    Conflation,
    Heartbeat,
    Ignored,
    OperatorBroadcast,
    Refusal,
    ServerNotice,
    Welcome,
    parse_message,
)
from defistream.subscribing import Subscribing
from defistream.updates import Update


class State(Enum):
    OFFLINE = auto()
    AUTHENTICATING = auto()
    READY = auto()
    ENDED = auto()


HANDSHAKE_SILENCE = 15.0
"""Seconds to wait for a frame before `welcome` has told the heartbeat interval; above the server's 10 s to authenticate."""

MISSED_HEARTBEATS = 3.0
"""A connection on which nothing was heard for so many heartbeat intervals is taken for dead."""


class Session:
    """One client's conversation over all its connections. Subscriptions are known by numbers that the driver gives."""

    def __init__(
        self, api_key: str, *, resume: bool = False, reconnect: bool = True, backoff: Backoff | None = None
    ) -> None:
        self._api_key = api_key
        self._reconnect = reconnect
        self._backoff = backoff or Backoff()
        self._subscribing = Subscribing(resume=resume, retry=reconnect)
        self._state = State.OFFLINE
        self._welcome: Welcome | None = None
        self._complaint: Refusal | None = None
        self._retry_after: float | None = None
        self._error: DefistreamError | None = None

    @property
    def silence_limit(self) -> float:
        """Seconds without a frame after which the connection is dead."""
        return MISSED_HEARTBEATS * self._welcome.heartbeat_interval if self._welcome else HANDSHAKE_SILENCE

    def connected(self) -> Effects:
        """A WebSocket is open."""
        self._state = State.AUTHENTICATING
        self._welcome = self._complaint = self._retry_after = None
        return (Send(commands.authenticate(self._api_key)),)

    def received(self, text: str | bytes) -> Effects:
        """A frame came."""
        message = parse_message(text)
        match message:
            case Refusal():
                return self._on_refusal(message)
            case Welcome():
                self._welcome = message
                return NOTHING
            case Authenticated():
                return self._on_authenticated(message)
            case ServerNotice() | OperatorBroadcast() | Conflation():
                return self._on_news(message)
            case Ignored():
                return NOTHING
            case _:
                # The connection has proved useful; a server that closes at once after authentication has not.
                if isinstance(message, Update | Heartbeat):
                    self._backoff.reset()
                return self._subscribing.received(message)

    def disconnected(self, code: int, reason: str) -> Effects:
        """The connection was closed, by whomever; 1006 where it just ended."""
        if self._state is State.ENDED:
            return NOTHING
        self._state = State.OFFLINE
        self._subscribing.offline()
        match verdict(code):
            case Verdict.UNAUTHENTICATED:
                return self._stop(self._authentication_failed(code, reason))
            case Verdict.RECONNECT if self._reconnect:
                after = self._backoff.next(at_least=requested_delay(code, reason, told=self._retry_after))
                return (Announce(events.Reconnecting(after, code, reason)), Reconnect(after))
            case _:
                return self._stop(ConnectionClosed(code, reason))

    def failed(self, error: ConnectionFailed, *, retryable: bool) -> Effects:
        """No connection could be opened."""
        if not (retryable and self._reconnect):
            return self._stop(error)
        after = self._backoff.next()
        return (Announce(events.Reconnecting(after, None, error.reason)), Reconnect(after))

    def close(self) -> Effects:
        """The application has done with the client. Idempotent."""
        return NOTHING if self._state is State.ENDED else self._stop(ConnectionClosed(1000, "the client is closed"))

    def subscribe(
        self, number: int, channel: str, filters: Filters, since: Cursor | None = None, *, snapshot: bool = False
    ) -> Effects:
        """The application wants a subscription; asked for at once, or as soon as there is a connection."""
        if self._error is not None:
            return (Finish(number, self._error),)
        return self._subscribing.add(number, channel, filters, since, snapshot=snapshot)

    def is_in_turn(self, number: int) -> bool:
        """False while a subscription waits for the replay of another one to end, before it is asked for."""
        return self._subscribing.is_in_turn(number)

    def retry(self, number: int) -> Effects:
        """The wait of a `Hold` is over."""
        return self._subscribing.ask_again(number)

    def unsubscribe(self, number: int) -> Effects:
        """The application has done with a subscription. Idempotent; nothing more is delivered to it."""
        return self._subscribing.remove(number)

    def _on_authenticated(self, message: Authenticated) -> Effects:
        if self._state is not State.AUTHENTICATING:
            return NOTHING
        self._state = State.READY
        connected = events.Connected(self._welcome.connection_id if self._welcome else "", message.user)
        return (Ready(), Announce(connected), *self._subscribing.online())

    def _on_refusal(self, message: Refusal) -> Effects:
        effects = self._subscribing.refused(message)
        if effects is not None:
            return effects
        self._complaint = message
        self._retry_after = message.retry_after or self._retry_after
        return (Announce(events.Complaint(message.code, message.message)),)

    def _on_news(self, message: ServerNotice | OperatorBroadcast | Conflation) -> Effects:
        match message:
            case ServerNotice():
                self._retry_after = message.retry_after or self._retry_after
                told = Announce(events.Notice(message.kind, message.message, message.raw))
                return (told, *self._subscribing.noticed(message))
            case OperatorBroadcast():
                return (Announce(events.Broadcast(message.channel, message.data)),)
            case Conflation():
                self._subscribing.conflated(message.channel)
                return (Announce(events.Conflated(message.channel, message.count, message.first, message.last)),)
            case _:
                assert_never(message)

    def _authentication_failed(self, code: int, reason: str) -> AuthenticationFailed:
        if self._complaint is None:
            return AuthenticationFailed(code, reason)
        return AuthenticationFailed(code, reason, error=self._complaint.code, message=self._complaint.message)

    def _stop(self, error: DefistreamError) -> Effects:
        self._state = State.ENDED
        self._error = error
        return (*self._subscribing.finish(error), Stop(error))
