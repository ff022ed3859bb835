"""The circuit breaker, from a table of states and by random histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.breaker import CircuitBreaker, State


def opened(*, at: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=2, open_seconds=10.0)
    breaker.failed(at)
    breaker.failed(at)
    return breaker


def probing(*, at: float = 10.0) -> CircuitBreaker:
    breaker = opened()
    assert breaker.allows(at)
    return breaker


def closed() -> CircuitBreaker:
    return CircuitBreaker(failures=2, open_seconds=10.0)


@pytest.mark.parametrize(
    ("make", "happens", "then"),
    [
        (closed, "failure", State.CLOSED),
        (closed, "success", State.CLOSED),
        (opened, "failure", State.OPEN),
        (opened, "success", State.CLOSED),
        (probing, "failure", State.OPEN),
        (probing, "success", State.CLOSED),
    ],
)
def test_each_state_moves_on_as_drawn(make, happens, then):
    breaker = make()
    _ = breaker.failed(10.0) if happens == "failure" else breaker.succeeded()
    assert breaker.state is then


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    breaker = closed()
    breaker.failed(0.0)
    breaker.succeeded()
    breaker.failed(0.0)
    assert breaker.allows(0.0)
    breaker.failed(0.0)
    assert not breaker.allows(0.0)


def test_one_call_tries_after_the_open_time():
    breaker = opened(at=5.0)
    assert not breaker.allows(14.9)
    assert breaker.allows(15.0)
    assert not breaker.allows(15.0)


def test_a_failed_try_opens_it_for_the_whole_time_again():
    breaker = probing(at=10.0)
    assert breaker.failed(11.0)
    assert not breaker.allows(20.9)
    assert breaker.allows(21.0)


def test_a_try_whose_outcome_is_never_told_is_given_up():
    breaker = probing(at=10.0)
    assert not breaker.allows(19.9)
    assert breaker.allows(20.0)


def test_opening_and_closing_are_told_once():
    breaker = closed()
    assert [breaker.failed(0.0) for _ in range(3)] == [False, True, False]
    assert [breaker.succeeded() for _ in range(2)] == [True, False]


@given(st.lists(st.tuples(st.sampled_from(["failure", "success", "nothing"]), st.floats(0, 20)), max_size=60))
def test_while_the_backend_fails_it_is_called_at_most_once_per_open_time(history):
    breaker, now, last_probe = closed(), 0.0, None
    for outcome, pause in history:
        now += pause
        was_closed = breaker.state is State.CLOSED
        if not breaker.allows(now):
            continue
        if not was_closed:
            assert last_probe is None or now - last_probe >= breaker.open_seconds
            last_probe = now
        if outcome == "failure":
            breaker.failed(now)
        elif outcome == "success":
            breaker.succeeded()
            last_probe = None
