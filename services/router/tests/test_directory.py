"""Directory: who wants which room, as sets would keep it."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from common.filters import EVERYTHING, Filter
from common.identifiers import Slot
from router.directory import Directory, Number

NUMBERS = st.sampled_from([0, 1, 2**49, 2**49 + 1, 2**64 - 1]).map(Number)
SLOTS = st.sampled_from([0, 1, 4095]).map(Slot)


@given(st.lists(st.tuples(st.booleans(), SLOTS, NUMBERS), max_size=40))
def test_it_keeps_who_wants_what(steps):
    directory = Directory()
    wanted: defaultdict[Slot, set[Number]] = defaultdict(set)
    for adds, slot, number in steps:
        chosen = Filter(token_ids=(str(number),), min_value=1, max_value=2.5)
        if adds:
            assert directory.add(slot, number, chosen) is (number not in wanted[slot])
            wanted[slot].add(number)
        else:
            gone = directory.remove(slot, number)
            assert gone == (chosen if number in wanted[slot] else None)
            wanted[slot].discard(number)
    for slot in map(Slot, (0, 1, 4095)):
        assert sorted(directory.rooms_of(slot)) == sorted(wanted[slot])
    assert len(directory) == len(set().union(*wanted.values()))
    assert set(directory.slots) == {slot for slot, rooms in wanted.items() if rooms}


def test_a_rooms_filter_is_the_first_that_came_with_its_id():
    directory = Directory()
    directory.add(Slot(1), Number(5), Filter(chains=("base",)))
    directory.add(Slot(2), Number(5), EVERYTHING)
    assert directory.remove(Slot(1), Number(5)) == Filter(chains=("base",))
    assert directory.remove(Slot(2), Number(5)) == Filter(chains=("base",))
    assert directory.remove(Slot(2), Number(5)) is None
