"""Bounds: what bisection finds is what a look at each bound finds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.bounds import Interval, SortedBounds

BOUNDS = st.lists(st.integers(-5, 5), max_size=30)


@given(BOUNDS, BOUNDS, st.integers(-6, 6))
def test_passed_are_those_whose_bound_is_not_above_the_value(kept: list[int], removed: list[int], value: int):
    bounds = SortedBounds()
    for number, bound in enumerate(kept + removed):
        bounds.add(bound, number)
    for number, bound in enumerate(removed, start=len(kept)):
        bounds.remove(bound, number)
    assert set(bounds.passed(value)) == {number for number, bound in enumerate(kept) if bound <= value}


def test_many_bounds_are_found_right_across_cuts_while_they_come_and_go():
    draw = random.Random(7)
    bounds, held = SortedBounds(), {}
    for number in range(6000):
        held[number] = draw.choice((draw.uniform(0, 100), draw.randrange(5)))
        bounds.add(held[number], number)
        if number % 3 == 0:
            gone = draw.choice(list(held)) if number % 300 == 0 else number
            bounds.remove(held.pop(gone), gone)
        if number % 500 == 0:
            value = draw.uniform(-1, 101)
            assert set(bounds.passed(value)) == {n for n, bound in held.items() if bound <= value}
    assert len(bounds) == len(held)


def test_removing_what_is_not_held_is_an_error():
    bounds = SortedBounds()
    bounds.add(1.0, 5)
    with pytest.raises(ValueError, match="not"):
        bounds.remove(1.0, 6)


@pytest.mark.parametrize(
    ("low", "high", "value", "inside"),
    [
        (1.0, None, 1.0, True),
        (1.0, None, 0.9, False),
        (None, 2.0, 2.0, True),
        (None, 2.0, 2.1, False),
        (1.0, 2.0, 1.0, True),
        (1.0, 2.0, 2.0, True),
        (1.0, 2.0, 2.5, False),
        (1.0, 2.0, 0.5, False),
    ],
)
def test_both_bounds_of_an_interval_are_inclusive(low: float | None, high: float | None, value: float, inside: bool):
    interval = Interval(low=low is not None, high=high is not None)
    interval.add(3, low, high)
    assert (3 in interval.around(value, as_bitmap=False)) is inside
    assert (3 in interval.around(value, as_bitmap=True)) is inside
