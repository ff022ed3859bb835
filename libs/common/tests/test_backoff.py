"""Waits grow with each failure, within bounds, and start anew after a success."""

import random

from hypothesis import given
from hypothesis import strategies as st

from common.backoff import Backoff

SECONDS = st.floats(0.001, 60)


@given(SECONDS, SECONDS, st.integers(0, 100), st.integers())
def test_a_wait_is_between_half_and_all_of_a_doubling_bound(first, most, failures, seed):
    backoff = Backoff(first=first, most=most, _random=random.Random(seed))
    for failure in range(failures + 1):
        bound = min(most, first * 2.0 ** min(failure, 32))
        assert bound / 2 <= backoff.next() <= bound


@given(st.integers(1, 100))
def test_after_a_success_the_first_wait_is_short_again(failures):
    backoff = Backoff(first=0.1, most=5.0)
    for _ in range(failures):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.1


def test_two_do_not_wait_in_step():
    waits = [[backoff.next() for _ in range(5)] for backoff in (Backoff(), Backoff())]
    assert waits[0] != waits[1]
