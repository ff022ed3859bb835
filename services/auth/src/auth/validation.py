"""Key hashes in, decisions out: revocations first, then this process' cache, then Redis', then the key store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from auth.cache import Kept, RecentDecisions, SharedDecisions
from auth.decisions import REVOKED, decide, undecided, usable_until
from auth.key_stores import Found, KeyStore, NotAnswered
from auth.revocations import Revoked
from common.clock import Clock
from common.events import Decision
from common.identifiers import KeyHash
from common.metrics import auth_key_store_errors_total

Source = Literal["revocations", "memory", "redis", "store"]


@dataclass(frozen=True, slots=True)
class Answer:
    decision: Decision
    source: Source


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a decision may be used after it was made: milliseconds, for yes and for no."""

    allowed_ms: int
    refused_ms: int

    @classmethod
    def of(cls, allowed: timedelta, refused: timedelta) -> Lifetimes:
        return cls(round(allowed.total_seconds() * 1000), round(refused.total_seconds() * 1000))


class Validator:
    """Decides on keys by their hashes.

    What it yields is never "allowed" for a hash that was in `revoked` at that moment, also when the revocation came
    during the lookup: the caller must use an answer before it awaits anything.
    """

    def __init__(
        self,
        store: KeyStore,
        recent: RecentDecisions,
        shared: SharedDecisions,
        revoked: Revoked,
        *,
        lifetimes: Lifetimes,
        clock: Clock,
    ) -> None:
        self._store = store
        self._recent = recent
        self._shared = shared
        self._revoked = revoked
        self._lifetimes = lifetimes
        self._clock = clock

    async def validate(self, hashes: Iterable[KeyHash]) -> AsyncIterator[Mapping[KeyHash, Answer]]:
        """An answer for each distinct hash, in up to three parts: what is at hand does not wait for the key store."""
        wanted = dict.fromkeys(hashes)
        at_hand = self._at_hand(wanted)
        if at_hand:
            yield at_hand
        shared = await self._from_shared([each for each in wanted if each not in at_hand])
        if shared:
            yield self._guard(shared)
        missing = [each for each in wanted if each not in at_hand and each not in shared]
        if not missing:
            return
        found = await self._store.find(missing)
        kept = self._keep(found)
        yield self._guard({key_hash: self._answer(key_hash, each, kept) for key_hash, each in found.items()})
        await self._share(kept)

    def _at_hand(self, hashes: Iterable[KeyHash]) -> dict[KeyHash, Answer]:
        answers: dict[KeyHash, Answer] = {}
        for key_hash in hashes:
            if key_hash in self._revoked:
                answers[key_hash] = Answer(REVOKED, "revocations")
            elif (decision := self._recent.find(key_hash)) is not None:
                answers[key_hash] = Answer(decision, "memory")
        return answers

    async def _from_shared(self, hashes: Collection[KeyHash]) -> dict[KeyHash, Answer]:
        found = await self._shared.find(hashes) if hashes else {}
        for key_hash, kept in found.items():
            self._recall(key_hash, kept)
        return {key_hash: Answer(kept.decision, "redis") for key_hash, kept in found.items()}

    def _keep(self, found: Mapping[KeyHash, Found]) -> dict[KeyHash, Kept]:
        now_ms = self._clock.now_ms()
        kept: dict[KeyHash, Kept] = {}
        for key_hash, each in found.items():
            if isinstance(each, NotAnswered):
                auth_key_store_errors_total.labels(kind=each.kind).inc()
                continue
            decision = decide(each, now_ms=now_ms)
            until = usable_until(
                decision, now_ms=now_ms, ttl_ms=self._lifetimes.allowed_ms, negative_ttl_ms=self._lifetimes.refused_ms
            )
            kept[key_hash] = Kept(decision=decision, until=until)
            self._recall(key_hash, kept[key_hash])
        return kept

    def _answer(self, key_hash: KeyHash, found: Found, kept: Mapping[KeyHash, Kept]) -> Answer:
        decision = undecided(found.reason) if isinstance(found, NotAnswered) else kept[key_hash].decision
        return Answer(decision, "store")

    async def _share(self, kept: Mapping[KeyHash, Kept]) -> None:
        """A revocation that came before this write has dropped the hash too early, so it is dropped again."""
        await self._shared.keep({key_hash: each for key_hash, each in kept.items() if key_hash not in self._revoked})
        await self._shared.drop([key_hash for key_hash in kept if key_hash in self._revoked])

    def _recall(self, key_hash: KeyHash, kept: Kept) -> None:
        if key_hash not in self._revoked:
            self._recent.keep(key_hash, kept)

    def _guard(self, answers: Mapping[KeyHash, Answer]) -> dict[KeyHash, Answer]:
        return {
            key_hash: Answer(REVOKED, "revocations") if key_hash in self._revoked else answer
            for key_hash, answer in answers.items()
        }
