"""Bounds: what bisection finds is what a look at each bound finds."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.identifiers import Slot
from router import bounds
from router.bounds import Bounded, Record

NUMBERS = st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
Pair = tuple[float | None, float | None]


def _bounds_something(pair: Pair) -> bool:
    low, high = pair
    return pair != (None, None) and (low is None or high is None or low <= high)


PAIRS = st.tuples(st.none() | NUMBERS, st.none() | NUMBERS).filter(_bounds_something)


def record(number: int, pair: Pair, slot: int = 0) -> Record:
    return Record(Slot(slot), b"\xa7%07d" % number, *pair)


def holds(each: Record, value: float) -> bool:
    return (each.low is None or each.low <= value) and (each.high is None or value <= each.high)


def found(bounded: Bounded, value: float) -> set[tuple[int, bytes]]:
    pieces: defaultdict[Slot, list[bytes]] = defaultdict(list)
    bounds.around(bounded, value, pieces)
    joined = {slot: b"".join(some) for slot, some in pieces.items()}
    each = [(slot, rooms[at : at + 8]) for slot, rooms in joined.items() for at in range(0, len(rooms), 8)]
    assert len(each) == len(set(each))
    return set(each)


@given(st.lists(PAIRS, max_size=30), st.lists(PAIRS, max_size=30), NUMBERS)
def test_found_are_those_whose_bounds_hold_the_value(kept, removed, value):
    held: Bounded = {}
    records = [record(number, pair, number % 3) for number, pair in enumerate(kept + removed)]
    for each in records:
        bounds.add(held, each)
    for each in records[len(kept) :]:
        bounds.remove(held, each)
    for at in {value, *(bound for pair in kept for bound in pair if bound is not None)}:
        expected = {(each.slot, each.room) for each in records[: len(kept)] if holds(each, at)}
        assert found(held, at) == expected
    for each in records[: len(kept)]:
        bounds.remove(held, each)
    assert held == {}


@pytest.mark.parametrize("kind", ["lows", "highs", "intervals"])
def test_many_bounds_are_found_right_across_blocks_while_they_come_and_go(kind: str):
    draw = random.Random(7)
    held: Bounded = {}
    records: list[Record] = []
    for number in range(6000):
        low = draw.choice((draw.uniform(0, 100), draw.randrange(5)))
        pairs = {"lows": (low, None), "highs": (None, low), "intervals": (low, low + draw.choice((0, 1, 90)))}
        records.append(record(number, pairs[kind], number % 2))
        bounds.add(held, records[-1])
        if number % 3 == 0:
            bounds.remove(held, records.pop(draw.randrange(len(records)) if number % 300 == 0 else -1))
        if number % 500 == 0:
            value = draw.uniform(-1, 101)
            assert found(held, value) == {(each.slot, each.room) for each in records if holds(each, value)}
    assert any(len(blocks) > 1 for blocks in held.values())


def test_one_room_may_be_held_for_several_slots():
    held: Bounded = {}
    for slot in (1, 2, 3):
        bounds.add(held, record(7, (1.0, None), slot))
    bounds.remove(held, record(7, (1.0, None), 2))
    assert found(held, 1.0) == {(1, b"\xa70000007"), (3, b"\xa70000007")}


def test_removing_what_is_not_held_is_an_error():
    held: Bounded = {}
    bounds.add(held, record(5, (1.0, None)))
    for other in (record(6, (1.0, None)), record(5, (1.0, None), 1), record(5, (2.0, None)), record(5, (None, 1.0))):
        with pytest.raises(ValueError, match="not held"):
            bounds.remove(held, other)


def test_narrow_intervals_elsewhere_are_not_looked_at():
    held: Bounded = {}
    for number in range(5000):
        bounds.add(held, record(number, (float(number), number + 0.5)))
    [blocks] = held.values()
    kind, _ = bounds.kind_of(record(0, (0.0, 0.5)))
    keys = [key for block in blocks for key in block.keys]
    assert sum(2500.25 - bounds._reach(kind) <= key <= 2500.25 for key in keys) <= 5
    assert found(held, 2500.25) == {(0, b"\xa70002500")}


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
        (0, 0, 0.0, True),
        (-1.7e308, 1.7e308, 1.6e308, True),
        (1e300, 1e300, 1e300, True),
    ],
)
def test_both_bounds_of_an_interval_are_inclusive(low: float | None, high: float | None, value: float, inside: bool):
    held: Bounded = {}
    bounds.add(held, record(3, (low, high)))
    assert bool(found(held, value)) is inside
