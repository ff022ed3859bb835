"""A session with a clock and an obedient driver, for tests of the conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from common.clock import ManualClock
from common.errors import ErrorCode
from common.events import Decision
from common.identifiers import ConnectionId, KeyHash, hash_api_key
from common.limits import Limits
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.effects import Close, Effect, Join, Send
from gateway.protocol.replies import Timing
from gateway.protocol.session import Profile, Session, State

E = TypeVar("E", bound=Effect)
PEPPER = "pepper"
ALLOWED = Decision(allowed=True, user="alice", permissions=frozenset({"channel:*"}))
REFUSED = Decision(allowed=False, reason="the key is unknown")
AWAY = Decision(allowed=False, retryable=True, reason="auth is away")


def key_hash(api_key: str) -> KeyHash:
    return hash_api_key(api_key, PEPPER)


class Talk:
    """Keeps all effects; `said` is what the client has been sent."""

    def __init__(self, *, limits: Limits | None = None, timing: Timing | None = None) -> None:
        self.clock = ManualClock()
        self.timing = timing or Timing()
        self.moved = 0
        """How far the channels' cursors have come."""
        profile = Profile(
            self.timing,
            limits or Limits(),
            hash_key=key_hash,
            cursor=self._cursor,
            joining_cursor=self._cursor,
            check_cursor=lambda _channel, _cursor: None,
        )
        self.session = Session(ConnectionId("c1"), profile, now=self.clock.monotonic())
        self.effects: list[Effect] = []

    def _cursor(self, channel: str) -> str:
        return f"{channel}.0:{self.moved}"

    # What happens to it ----------------------------------------------------------------------------------------------

    def open(self, api_key: str | None = None) -> Sequence[Effect]:
        welcome = Send(self.session.welcome(now_ms=self.clock.now_ms()))
        return self._keep((welcome, *self.session.opened(api_key)))

    def says(self, message: object) -> Sequence[Effect]:
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        now = self.clock.monotonic()
        self.session.heard(now)
        return self._keep(self.session.receive(text, now=now, now_ms=self.clock.now_ms()))

    def decided(self, decision: Decision = ALLOWED) -> Sequence[Effect]:
        now, now_ms = self.clock.monotonic(), self.clock.now_ms()
        return self._keep(self.session.decided(decision, now=now, now_ms=now_ms))

    def joined(self, ticket: int) -> Sequence[Effect]:
        return self._answer(self.session.subscriptions.joined(ticket))

    def join_failed(self, ticket: int) -> Sequence[Effect]:
        return self._answer(self.session.subscriptions.failed(ticket, None, ErrorCode.UNAVAILABLE, "no answer"))

    def revoked(self) -> Sequence[Effect]:
        now = self.clock.monotonic()
        return self._keep(
            self.session.fail(CloseCode.KEY_REVOKED, ErrorCode.INVALID_API_KEY, "the key was revoked", now=now)
        )

    def tick(self, seconds: float = 0.0, *, sent: int = 0) -> Sequence[Effect]:
        self.clock.advance(seconds)
        now, now_ms = self.clock.monotonic(), self.clock.now_ms()
        return self._keep(self.session.tick(now=now, now_ms=now_ms, sent=sent))

    def hears(self) -> None:
        """A pong came."""
        self.session.heard(self.clock.monotonic())

    def ready(self, decision: Decision = ALLOWED, **fields: Any) -> Talk:
        """Opened with a key that auth allows."""
        self.open("key")
        self.decided(replace_decision(decision, **fields))
        return self

    def subscribed(self, channel: str = "prices", **fields: Any) -> Talk:
        """Subscribed, and every partition active."""
        effects = self.says({"type": "subscribe", "channel": channel, **fields})
        self.joined(only(effects, Join).ticket)
        return self

    # What came of it -------------------------------------------------------------------------------------------------

    @property
    def said(self) -> list[dict[str, Any]]:
        return messages(self.effects)

    @property
    def closes(self) -> list[int]:
        return [effect.code for effect in self.effects if isinstance(effect, Close)]

    def _answer(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        """A connection that is being closed is told no more."""
        return self._keep(effects if self.session.state is State.READY else ())

    def _keep(self, effects: Sequence[Effect]) -> Sequence[Effect]:
        self.effects += effects
        return effects


def replace_decision(decision: Decision, **fields: Any) -> Decision:
    return replace(decision, **fields)


def limited(**limits: int | None) -> Limits:
    return replace(Limits(), **limits)  # type: ignore[arg-type]  # each name is checked by the class


def messages(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """The JSON of all sends."""
    return [orjson.loads(effect.payload) for effect in effects if isinstance(effect, Send)]


def message(effects: Sequence[Effect]) -> dict[str, Any]:
    """The only send."""
    (found,) = messages(effects)
    return found


def error(effects: Sequence[Effect]) -> tuple[str, str | None, Any]:
    """Code, field and id of the only send, which is an error."""
    found = message(effects)
    assert found["type"] == "error", found
    return found["code"], found.get("field"), found.get("id")


def kinds(effects: Sequence[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in effects]


def only(effects: Sequence[Effect], kind: type[E]) -> E:
    """The only effect of a kind."""
    (found,) = (effect for effect in effects if isinstance(effect, kind))
    return found
