"""The order in which a decision is looked for, and revocations that come at a bad moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from auth.cache import Kept, RecentDecisions
from auth.decisions import REVOKED, UNKNOWN
from auth.key_stores import Found, NotAnswered
from auth.key_stores.memory import MemoryKeyStore
from auth.keys import KeyRecord
from auth.revocations import Revoked
from auth.validation import Answer, Lifetimes, Validator
from common.clock import ManualClock
from common.identifiers import KeyHash

A, B, C = (KeyHash(letter * 64) for letter in "abc")


class DictDecisions:
    """What Redis does for the decisions of all auth processes."""

    def __init__(self) -> None:
        self.kept: dict[KeyHash, Kept] = {}

    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Kept]:
        return {key_hash: self.kept[key_hash] for key_hash in hashes if key_hash in self.kept}

    async def keep(self, kept: Mapping[KeyHash, Kept]) -> None:
        self.kept.update(kept)

    async def drop(self, hashes: Collection[KeyHash]) -> None:
        for key_hash in hashes:
            self.kept.pop(key_hash, None)


class System:
    """A validator with all that it needs, and a clock."""

    def __init__(self, *keys: KeyHash) -> None:
        self.clock = ManualClock()
        self.store = MemoryKeyStore(KeyRecord(key_hash=key, user="alice", permissions=("*",)) for key in keys)
        self.shared = DictDecisions()
        self.revoked = Revoked()
        self.validator = self.process()

    def process(self, *, store=None, shared=None) -> Validator:
        """One more auth process on the same backends."""
        lifetimes = Lifetimes(allowed_ms=300_000, refused_ms=30_000)
        recent = RecentDecisions(100, self.clock)
        return Validator(
            store or self.store, recent, shared or self.shared, self.revoked, lifetimes=lifetimes, clock=self.clock
        )


async def answers(validator: Validator, *hashes: KeyHash) -> dict[KeyHash, Answer]:
    found: dict[KeyHash, Answer] = {}
    async for part in validator.validate(hashes):
        found.update(part)
    return found


async def source(validator: Validator, key_hash: KeyHash) -> str:
    return (await answers(validator, key_hash))[key_hash].source


async def test_a_decision_comes_from_the_store_once_then_from_memory():
    system = System(A)
    assert [await source(system.validator, A) for _ in range(3)] == ["store", "memory", "memory"]


async def test_another_process_has_it_from_redis_then_from_its_own_memory():
    system = System(A)
    await answers(system.validator, A)
    other = system.process()
    assert [await source(other, A) for _ in range(2)] == ["redis", "memory"]


async def test_the_store_is_asked_again_when_a_yes_is_300_seconds_old():
    system = System(A)
    await answers(system.validator, A)
    system.shared.kept.clear()
    system.clock.advance(299.9)
    assert await source(system.validator, A) == "memory"
    system.clock.advance(0.1)
    assert await source(system.validator, A) == "store"


async def test_the_store_is_asked_again_when_a_no_is_30_seconds_old():
    system = System()
    await answers(system.validator, A)
    system.shared.kept.clear()
    system.clock.advance(30.0)
    assert await source(system.validator, A) == "store"


async def test_passing_through_redis_does_not_make_a_decision_younger():
    system = System(A)
    await answers(system.validator, A)
    system.clock.advance(200.0)
    other = system.process()
    await answers(other, A)
    system.shared.kept.clear()
    system.clock.advance(100.0)
    assert await source(other, A) == "store"


async def test_the_same_hash_is_looked_up_once_a_batch():
    system = System(A)
    await answers(system.validator, A, A, B, A)
    assert sorted(system.store.asked) == [A, B]


async def test_what_is_at_hand_does_not_wait_for_the_store():
    system = System(A, B)
    await answers(system.validator, A)
    parts = [set(part) async for part in system.validator.validate([B, A])]
    assert parts == [{A}, {B}]


async def test_a_store_that_is_away_refuses_nobody_and_is_not_remembered():
    system = System(A)
    system.store.away = NotAnswered("redis", "the key store is away")
    decision = (await answers(system.validator, A))[A].decision
    assert not decision.allowed
    assert decision.retryable
    system.store.away = None
    assert (await answers(system.validator, A))[A].decision.allowed


async def test_an_unknown_key_is_refused():
    assert (await answers(System().validator, A))[A].decision == UNKNOWN


async def test_a_revoked_key_is_refused_whatever_caches_and_store_say():
    system = System(A)
    await answers(system.validator, A)
    system.revoked.add([A])
    assert await answers(system.validator, A) == {A: Answer(REVOKED, "revocations")}
    assert await answers(system.process(), A) == {A: Answer(REVOKED, "revocations")}


async def test_a_key_revoked_while_the_store_is_asked_is_refused_and_kept_nowhere():
    system = System(A)

    class RevokedMeanwhile(MemoryKeyStore):
        async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Found]:
            found = await system.store.find(hashes)
            system.revoked.add(hashes)
            return found

    validator = system.process(store=RevokedMeanwhile())
    assert (await answers(validator, A))[A].decision == REVOKED
    assert system.shared.kept == {}


async def test_a_key_revoked_while_redis_is_asked_is_refused():
    system = System(A)
    await answers(system.validator, A)

    class RevokedMeanwhile(DictDecisions):
        async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Kept]:
            system.revoked.add(hashes)
            return await system.shared.find(hashes)

    validator = system.process(shared=RevokedMeanwhile())
    assert (await answers(validator, A))[A].decision == REVOKED


async def test_a_key_revoked_while_its_decision_is_written_does_not_stay_in_redis():
    system = System(A)

    class RevokedMeanwhile(DictDecisions):
        async def keep(self, kept: Mapping[KeyHash, Kept]) -> None:
            # The revocation is read, and drops the hash, before this write arrives.
            system.revoked.add(kept)
            await self.drop(list(kept))
            await super().keep(kept)

    shared = RevokedMeanwhile()
    await answers(system.process(shared=shared), A)
    assert shared.kept == {}
