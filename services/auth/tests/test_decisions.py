"""A key's record and the time decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.decisions import REVOKED, UNKNOWN, decide, undecided, usable_until
from auth.keys import KeyRecord
from common.events import Decision
from common.identifiers import KeyHash

NOW = 1_700_000_000_000
KEY = KeyHash("ab" * 32)


def record(**fields) -> KeyRecord:
    return KeyRecord(key_hash=KEY, user="alice", permissions=("channel:*",), **fields)


def test_a_key_without_a_record_is_not_known():
    assert decide(None, now_ms=NOW) == UNKNOWN
    assert "not known" in UNKNOWN.reason


def test_a_revoked_key_is_refused_even_when_it_has_expired_too():
    assert decide(record(revoked_at=NOW - 1, expires_at=NOW - 1), now_ms=NOW) == REVOKED


@pytest.mark.parametrize(("expires_at", "allowed"), [(NOW - 1, False), (NOW, False), (NOW + 1, True), (None, True)])
def test_a_key_ends_at_its_expiry(expires_at, allowed):
    assert decide(record(expires_at=expires_at), now_ms=NOW).allowed is allowed


def test_an_expired_key_is_told_since_when():
    assert decide(record(expires_at=NOW), now_ms=NOW).reason == "this API key expired on 2023-11-14 22:13:20 UTC"


def test_an_allowed_key_brings_what_its_record_says():
    decision = decide(record(limits={"subscriptions": None}, expires_at=NOW + 5), now_ms=NOW)
    assert decision == Decision(
        allowed=True,
        user="alice",
        permissions=frozenset({"channel:*"}),
        limits={"subscriptions": None},
        expires_at=NOW + 5,
    )


def test_an_undecided_key_may_be_tried_again():
    decision = undecided("the key store is away")
    assert not decision.allowed
    assert decision.retryable
    assert "try again" in decision.reason


@given(now=st.integers(0, 10**13), lifetime=st.integers(1, 10**9), ttl=st.integers(1, 10**7))
def test_a_yes_is_never_used_beyond_the_end_of_its_key(now, lifetime, ttl):
    decision = decide(record(expires_at=now + lifetime), now_ms=now)
    until = usable_until(decision, now_ms=now, ttl_ms=ttl, negative_ttl_ms=1)
    assert now < until <= min(now + lifetime, now + ttl)


def test_a_no_is_used_for_the_shorter_time():
    assert usable_until(UNKNOWN, now_ms=NOW, ttl_ms=300, negative_ttl_ms=30) == NOW + 30
