"""Decisions kept in this process and in Redis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.cache import Kept, RecentDecisions, RedisDecisions
from auth.decisions import UNKNOWN
from common.clock import ManualClock, SystemClock
from common.events import Decision
from common.identifiers import KeyHash
from common.redis_keys import auth_decision

ALLOWED = Decision(
    allowed=True, user="alice", permissions=frozenset({"*"}), limits={"subscriptions": None}, expires_at=5
)
A, B, C = (KeyHash(letter * 64) for letter in "abc")


def kept(clock, decision: Decision = ALLOWED, *, ms: int = 1000) -> Kept:
    return Kept(decision=decision, until=clock.now_ms() + ms)


def test_a_decision_is_used_until_its_time_is_over():
    clock = ManualClock()
    recent = RecentDecisions(10, clock)
    recent.keep(A, kept(clock, ms=1000))
    clock.advance(0.999)
    assert recent.find(A) == ALLOWED
    clock.advance(0.001)
    assert recent.find(A) is None
    assert len(recent) == 0


def test_the_least_recently_used_decision_goes_first():
    clock = ManualClock()
    recent = RecentDecisions(2, clock)
    recent.keep(A, kept(clock))
    recent.keep(B, kept(clock))
    recent.find(A)
    recent.keep(C, kept(clock))
    assert [key for key in (A, B, C) if recent.find(key)] == [A, C]


def test_dropping_forgets_at_once():
    clock = ManualClock()
    recent = RecentDecisions(2, clock)
    recent.keep(A, kept(clock))
    recent.drop([A, B])
    assert recent.find(A) is None


@given(st.lists(st.tuples(st.sampled_from(["keep", "find", "drop"]), st.integers(0, 9)), max_size=80))
def test_it_never_holds_more_than_its_size_and_never_what_was_dropped(history):
    clock = ManualClock()
    recent = RecentDecisions(4, clock)
    dropped: set[KeyHash] = set()
    for action, number in history:
        key_hash = KeyHash(f"{number:064x}")
        if action == "keep":
            recent.keep(key_hash, kept(clock))
            dropped.discard(key_hash)
        elif action == "drop":
            recent.drop([key_hash])
            dropped.add(key_hash)
        elif key_hash in dropped:
            assert recent.find(key_hash) is None
        assert len(recent) <= 4


async def test_redis_gives_back_what_it_was_given_until_its_time_is_over(redis):
    clock = SystemClock()
    decisions = RedisDecisions(redis, clock)
    given = {A: kept(clock, ms=60_000), B: kept(clock, UNKNOWN, ms=30_000), C: kept(clock, ms=0)}
    await decisions.keep(given)
    assert await decisions.find([A, B, C]) == {A: given[A], B: given[B]}
    assert 0 < await redis.pttl(auth_decision(B)) <= 30_000


async def test_redis_forgets_what_is_dropped(redis):
    clock = SystemClock()
    decisions = RedisDecisions(redis, clock)
    await decisions.keep({A: kept(clock)})
    await decisions.drop([A, B])
    assert await decisions.find([A]) == {}


async def test_a_decision_in_another_form_is_as_good_as_none(redis):
    await redis.set(auth_decision(A), '{"form": 2}')
    assert await RedisDecisions(redis, SystemClock()).find([A]) == {}


@pytest.mark.timeout(20)
async def test_redis_being_away_costs_nothing_but_speed(redis_away):
    clock = SystemClock()
    decisions = RedisDecisions(redis_away, clock)
    await decisions.keep({A: kept(clock)})
    await decisions.drop([A])
    assert await decisions.find([A]) == {}
