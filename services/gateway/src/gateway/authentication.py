"""Asking auth about a key, by topic: one request for all who ask about the same key at the same time, one answer to each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from common import metrics
from common.clock import Clock
from common.events import AuthReply, AuthRequest, Decision
from common.identifiers import FencingEpoch, KeyHash, Slot
from common.logs import describe, get_logger
from common.topics import Topics
from gateway.records import Records

log = get_logger("authentication")

Answer = Callable[[Decision], None]
AWAY = Decision(allowed=False, retryable=True, reason="keys cannot be checked at the moment; try again")
REVOKED = Decision(allowed=False, reason="the API key was revoked")


@dataclass(slots=True)
class _Asked:
    key_hash: KeyHash
    at: float
    answers: list[Answer] = field(default_factory=list)


class Authentication:
    """`timeout`: seconds after which a request that auth has not answered counts as "auth is away"."""

    def __init__(self, records: Records, topics: Topics, clock: Clock, *, timeout: float) -> None:
        self._records = records
        self._topics = topics
        self._clock = clock
        self._timeout = timeout
        self._lease: tuple[Slot, FencingEpoch] | None = None
        self._requests = 0
        self._asked: dict[int, _Asked] = {}
        self._by_key: dict[KeyHash, int] = {}
        self._revoked: set[KeyHash] = set()
        self._decided: deque[tuple[KeyHash, Decision, Answer]] = deque()
        """Who asked and is still to be told what auth has answered."""

    def leased(self, slot: Slot, epoch: FencingEpoch) -> None:
        """Answers come to this slot from now on."""
        self._lease = (slot, epoch)

    def validate(self, key_hash: KeyHash, answer: Answer) -> None:
        """Call `answer` once, now or later, on this loop."""
        if key_hash in self._revoked:
            answer(REVOKED)
            return
        if self._lease is None:
            answer(AWAY)
            return
        request = self._by_key.get(key_hash)
        if request is None:
            request = self._ask(key_hash, *self._lease)
        self._asked[request].answers.append(answer)

    async def decide(self, key_hash: KeyHash) -> Decision:
        """The same for callers that can wait."""
        decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

        def answer(decision: Decision) -> None:
            if not decided.done():
                decided.set_result(decision)

        self.validate(key_hash, answer)
        return await decided

    def replied(self, value: bytes) -> None:
        """A record of `auth.replies` in our partition: who asked is told by `handing_out`, and not given up any more."""
        try:
            reply = AuthReply.model_validate_json(value)
        except ValidationError as error:
            log.warning("auth_reply_unreadable", **describe(error))
            return
        if self._lease is None or reply.epoch != self._lease[1]:
            return
        asked = self._settled(reply.request)
        if asked is not None:
            self._decided.extend((asked.key_hash, reply.decision, answer) for answer in asked.answers)

    def handing_out(self) -> Iterator[None]:
        """Tell those who asked what auth has answered, one at each step."""
        while self._decided:
            key_hash, decision, answer = self._decided.popleft()
            answer(REVOKED if decision.allowed and key_hash in self._revoked else decision)
            yield

    def revoke(self, key_hash: KeyHash) -> None:
        """Refuse the key from now on, whatever auth answers: it may have looked before the key was revoked."""
        self._revoked.add(key_hash)

    def tick(self) -> None:
        """Give up on requests that were not answered in time."""
        now = self._clock.monotonic()
        for request in [number for number, asked in self._asked.items() if now - asked.at >= self._timeout]:
            self._give_up(request)

    def lost(self) -> None:
        """The slot was lost, and with it the answers on their way."""
        self._lease = None
        for request in list(self._asked):
            self._give_up(request)
        while self._decided:
            _key_hash, _decision, answer = self._decided.popleft()
            answer(AWAY)

    def _ask(self, key_hash: KeyHash, slot: Slot, epoch: FencingEpoch) -> int:
        self._requests += 1
        self._asked[self._requests] = _Asked(key_hash, self._clock.monotonic())
        self._by_key[key_hash] = self._requests
        record = AuthRequest(request=self._requests, slot=slot, epoch=epoch, key_hash=key_hash, at=self._clock.now_ms())
        self._records.put(self._topics.auth_requests, key_hash.encode(), record.encode())
        return self._requests

    def _give_up(self, request: int) -> None:
        asked = self._settled(request)
        for answer in asked.answers if asked is not None else ():
            answer(AWAY)

    def _settled(self, request: int) -> _Asked | None:
        """The request is asked no more; `None` where it was not."""
        asked = self._asked.pop(request, None)
        if asked is not None:
            self._by_key.pop(asked.key_hash, None)
            metrics.gateway_authentication_seconds.observe(self._clock.monotonic() - asked.at)
        return asked
