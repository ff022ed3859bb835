"""The conversation with one client, sans-IO.

    NEW --- a key ---> AUTHENTICATING --- allowed ---> READY
     |                        |                          |
     +-- no key in time ------+-- refused, unavailable --+-- idle, lifetime, abuse, revoked --> CLOSING --> CLOSED

Commands that arrive while AUTHENTICATING wait for the decision, so that a client may send its key and its subscriptions in one go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from common.cursor import Cursor
from common.errors import ErrorCode
from common.events import Decision
from common.identifiers import ConnectionId, KeyHash, RoomId
from common.limits import Limits
from common.rooms import Room
from gateway.limits import Window
from gateway.protocol import replies
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.commands import (
    Authenticate,
    Command,
    CommandError,
    CommandId,
    ListSubscriptions,
    Ping,
    Subscribe,
    Unsubscribe,
    UnsubscribeAll,
    parse_command,
)
from gateway.protocol.effects import (
    Abort,
    Close,
    Effect,
    Register,
    Seen,
    Send,
    SendPing,
    ValidateKey,
)
from gateway.protocol.replies import Notice, Timing
from gateway.protocol.rules import Refused, refuse_subscribe
from gateway.protocol.schedule import Schedule
from gateway.protocol.subscriptions import Subscriptions

MAX_WAITING_COMMANDS = 32
CLOSE_TIMEOUT_SECONDS = 5.0
MAX_MISUNDERSTOOD = 100
"""Messages in a row that are no commands: such a client will not come right by itself."""


class State(Enum):
    NEW = "new"
    AUTHENTICATING = "authenticating"
    READY = "ready"
    CLOSING = "closing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Profile:
    """What all sessions of a gateway have in common."""

    timing: Timing
    limits: Limits
    hash_key: Callable[[str], KeyHash]
    cursor: Callable[[str], str]
    """The cursor of a channel, as far as this gateway has delivered it."""
    joining_cursor: Callable[[str], str]
    """The cursor of a channel, for a connection that joins it now."""
    check_cursor: Callable[[str, Cursor], Refused | None]
    """Why a cursor cannot be one of the channel, where that can be seen here."""


class Session:
    """`now` is monotonic seconds, `now_ms` milliseconds since 1970; methods return what is to be done, in order."""

    __slots__ = (
        "_changes",
        "_command_id",
        "_limits",
        "_messages",
        "_misunderstood",
        "_profile",
        "_schedule",
        "_started",
        "_waiting",
        "decision",
        "id",
        "key_hash",
        "state",
        "subscriptions",
    )

    def __init__(self, connection_id: ConnectionId, profile: Profile, *, now: float) -> None:
        self.id = connection_id
        self.state = State.NEW
        self.key_hash: KeyHash | None = None
        self.decision: Decision | None = None
        self.subscriptions = Subscriptions(profile.cursor, profile.joining_cursor)
        self._profile = profile
        self._limits = profile.limits
        self._started = now
        self._schedule = Schedule(profile.timing, now=now)
        self._messages = Window()
        self._changes = Window()
        self._misunderstood = 0
        self._waiting: list[bytes] | None = None
        self._command_id: CommandId | None = None

    @property
    def user(self) -> str | None:
        return self.decision.user if self.decision is not None else None

    @property
    def started(self) -> float:
        """When the connection opened, monotonic seconds."""
        return self._started

    @property
    def rooms(self) -> dict[RoomId, Room]:
        return self.subscriptions.rooms

    @property
    def limits(self) -> Limits:
        return self._limits

    # Opening and authentication -------------------------------------------------------------------------------------

    def welcome(self, *, now_ms: int) -> bytes:
        """What is said first, before anything else."""
        return replies.welcome(self.id, now_ms=now_ms, timing=self._profile.timing, limits=self._limits)

    def opened(self, api_key: str | None) -> tuple[Effect, ...]:
        """The handshake is done; `api_key` is the one that it carried."""
        return () if api_key is None else (self._authenticate(None, api_key, self._started),)

    def decided(self, decision: Decision, *, now: float, now_ms: int) -> tuple[Effect, ...]:
        """Auth has answered."""
        if self.state is not State.AUTHENTICATING:
            return ()
        if decision.retryable:
            return self.fail(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, decision.reason, now=now, retryable=True)
        if not decision.allowed:
            return self.fail(
                CloseCode.INVALID_KEY, ErrorCode.INVALID_API_KEY, decision.reason or "the API key is not valid", now=now
            )
        self.state = State.READY
        self.decision = decision
        if decision.limits:
            self._limits = self._profile.limits.with_overrides(decision.limits)
        self._schedule.live_until(self._end_of_life(decision, now, now_ms))
        answer = replies.authenticated(
            self._command_id, user=decision.user, permissions=decision.permissions, limits=self._limits
        )
        self._command_id = None
        effects: list[Effect] = [Register(), Send(answer)]
        waiting, self._waiting = self._waiting or (), None
        for text in waiting:
            effects += self._take(text, now=now, now_ms=now_ms)
        return tuple(effects)

    def _authenticate(self, command_id: CommandId | None, api_key: str, now: float) -> Effect:
        self.state = State.AUTHENTICATING
        self._schedule.deadline = now + self._profile.timing.auth_timeout
        self._command_id = command_id
        self.key_hash = self._profile.hash_key(api_key)
        return ValidateKey(self.key_hash)

    def _end_of_life(self, decision: Decision, now: float, now_ms: int) -> float:
        end = self._started + self._profile.timing.lifetime
        return end if decision.expires_at is None else min(end, now + (decision.expires_at - now_ms) / 1000)

    # Commands -------------------------------------------------------------------------------------------------------

    def receive(self, text: bytes, *, now: float, now_ms: int) -> tuple[Effect, ...]:
        """A text message. Every one counts against the limit; what is wrong with it is answered, and the connection stays."""
        if self.state in (State.CLOSING, State.CLOSED):
            return ()
        refused = self._over_limit(now)
        if refused is not None:
            return refused
        if self.state is State.AUTHENTICATING:
            return self._hold(text)
        return tuple(self._take(text, now=now, now_ms=now_ms))

    def _over_limit(self, now: float) -> tuple[Effect, ...] | None:
        limit = self._limits.messages_per_minute
        count = self._messages.count(now)
        if limit is None or count <= limit:
            return None
        message = f"more than {limit} messages a minute"
        wait = self._messages.remaining(now)
        if count > 2 * limit:
            code, error = CloseCode.RATE_LIMITED, ErrorCode.RATE_LIMITED
            return self.fail(code, error, message, now=now, retryable=True, retry_after=wait)
        return (self._error(ErrorCode.RATE_LIMITED, message, retryable=True, retry_after=wait),)

    def _hold(self, text: bytes) -> tuple[Effect, ...]:
        self._waiting = self._waiting or []
        if len(self._waiting) >= MAX_WAITING_COMMANDS:
            return (
                self._error(ErrorCode.RATE_LIMITED, "too many commands before the key was checked", retryable=True),
            )
        self._waiting.append(text)
        return ()

    def _take(self, text: bytes, *, now: float, now_ms: int) -> tuple[Effect, ...]:
        try:
            command = parse_command(text, max_values=self._limits.filter_values)
        except CommandError as error:
            return self._not_understood(error, now)
        self._misunderstood = 0
        return self._execute(command, now, now_ms)

    def _not_understood(self, error: CommandError, now: float) -> tuple[Effect, ...]:
        self._misunderstood += 1
        answer = self._error(error.code, error.message, command_id=error.id, field=error.field)
        if self._misunderstood < MAX_MISUNDERSTOOD:
            return (answer,)
        text = f"{MAX_MISUNDERSTOOD} messages in a row were no valid commands"
        return (answer, *self.close(CloseCode.BAD_REQUEST, text, now=now))

    def _execute(self, command: Command, now: float, now_ms: int) -> tuple[Effect, ...]:
        match self.state, command:
            case _, Ping():
                return (Send(replies.pong(command.id, now_ms=now_ms)),)
            case State.NEW, Authenticate():
                return (self._authenticate(command.id, command.api_key, now),)
            case _, Authenticate():
                return (
                    self._error(
                        ErrorCode.ALREADY_AUTHENTICATED, "the connection has its key already", command_id=command.id
                    ),
                )
            case State.READY, Subscribe():
                return self._subscribe(command, now)
            case State.READY, Unsubscribe():
                return self._changed(command.id, now) or self.subscriptions.unsubscribe(command)
            case State.READY, UnsubscribeAll():
                return self._changed(command.id, now) or self.subscriptions.unsubscribe_all(command)
            case State.READY, ListSubscriptions():
                return (Send(replies.subscriptions(command.id, self.subscriptions.listed())),)
            case _:
                return (self._error(ErrorCode.API_KEY_REQUIRED, "authenticate first", command_id=command.id),)

    def _subscribe(self, command: Subscribe, now: float) -> tuple[Effect, ...]:
        decision = self.decision or Decision(allowed=False)
        refused = refuse_subscribe(command, decision, self.subscriptions, most=self._limits.subscriptions)
        if refused is None and command.since is not None:
            refused = self._profile.check_cursor(command.rooms[0].channel.value, command.since)
        if refused is not None:
            return (self._error(refused.code, refused.message, command_id=command.id, field=refused.field),)
        return self._changed(command.id, now) or self.subscriptions.subscribe(command)

    def _changed(self, command_id: CommandId | None, now: float) -> tuple[Effect, ...]:
        """Count a subscription change; the refusal where it is one too many."""
        limit = self._limits.subscription_changes_per_minute
        if limit is None or self._changes.count(now) <= limit:
            return ()
        message = f"more than {limit} subscription changes a minute"
        wait = self._changes.remaining(now)
        return (self._error(ErrorCode.RATE_LIMITED, message, command_id=command_id, retryable=True, retry_after=wait),)

    # Time -----------------------------------------------------------------------------------------------------------

    def heard(self, now: float) -> None:
        """Bytes came: a message, a pong, anything."""
        if self.state not in (State.CLOSING, State.CLOSED):
            self._schedule.heard = now

    def next_tick(self) -> float:
        """When `tick` has something to do next."""
        return self._schedule.next()

    def tick(self, *, now: float, now_ms: int, sent: int) -> tuple[Effect, ...]:
        """Do what time asks for. Safe to call early or late; `sent` is the number of updates sent so far."""
        if self.state is State.CLOSED:
            return ()
        if self._schedule.is_over(now):
            return self._overdue(now)
        if self._schedule.is_idle(now):
            return self.close(CloseCode.IDLE, "nothing heard", now=now)
        warning = self._warning(now) if self._schedule.take_warning(now) else ()
        heartbeat = self._heartbeat(now_ms, sent) if self._schedule.take_heartbeat(now) else ()
        return (*warning, *heartbeat)

    def _overdue(self, now: float) -> tuple[Effect, ...]:
        match self.state:
            case State.CLOSING:
                return (Abort(),)
            case State.READY:
                return self.close(CloseCode.LIFETIME_REACHED, "the connection or its key has reached its end", now=now)
            case State.AUTHENTICATING:
                message = "the key could not be checked in time"
                return self.fail(CloseCode.UNAVAILABLE, ErrorCode.UNAVAILABLE, message, now=now, retryable=True)
            case _:
                message = f"no API key within {self._profile.timing.auth_timeout:g} s"
                return self.fail(CloseCode.AUTHENTICATION_TIMEOUT, ErrorCode.API_KEY_REQUIRED, message, now=now)

    def _warning(self, now: float) -> tuple[Effect, ...]:
        return (
            Send(replies.notice(Notice.EXPIRING, f"this connection ends in {self._schedule.deadline - now:.0f} s")),
        )

    def _heartbeat(self, now_ms: int, sent: int) -> tuple[Effect, ...]:
        if self.state is not State.READY:
            return (SendPing(),)
        cursors = self.subscriptions.cursors()
        seen = (Seen(),) if self._schedule.take_heard() else ()
        return (*seen, Send(replies.heartbeat(now_ms=now_ms, sent=sent, cursors=cursors)), SendPing())

    # Ending ---------------------------------------------------------------------------------------------------------

    def fail(
        self,
        code: CloseCode,
        error: ErrorCode,
        message: str,
        *,
        now: float,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> tuple[Effect, ...]:
        """Say why, then close: a browser cannot read why a handshake was refused."""
        if self.state in (State.CLOSING, State.CLOSED):
            return ()
        return (
            self._error(error, message, command_id=self._command_id, retryable=retryable, retry_after=retry_after),
            *self.close(code, message, now=now),
        )

    def close(self, code: CloseCode, reason: str, *, now: float, notice: bytes | None = None) -> tuple[Effect, ...]:
        if self.state in (State.CLOSING, State.CLOSED):
            return ()
        self.closing(now)
        said = () if notice is None else (Send(notice),)
        return (*said, Close(code, reason))

    def closing(self, now: float) -> None:
        """The closing handshake has begun; it may take some seconds."""
        self.state = State.CLOSING
        self._schedule.end_at(now + CLOSE_TIMEOUT_SECONDS)

    def ended(self) -> None:
        self.state = State.CLOSED

    @staticmethod
    def _error(
        code: ErrorCode,
        message: str,
        *,
        command_id: CommandId | None = None,
        field: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> Send:
        return Send(
            replies.error(
                code, message, command_id=command_id, field=field, retryable=retryable, retry_after=retry_after
            ),
            error=code,
        )
