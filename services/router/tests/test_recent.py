"""The ring of recent updates: what it holds is the end of what was added, whatever its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.recent import Recent
from services.router.tests.past import entry

STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 200)), max_size=60)


def test_it_is_complete_from_where_it_began_though_dead_letters_leave_no_entry():
    recent = Recent(5, limit=10, limit_bytes=10**6)
    recent.add([entry(7), entry(9)])
    assert recent.first == 5
    assert [each.offset for each in recent.after(4, 10)] == [7, 9]


def test_the_oldest_goes_where_there_are_too_many():
    recent = Recent(0, limit=2, limit_bytes=10**6)
    recent.add([entry(1), entry(3), entry(4)])
    assert (recent.first, [each.offset for each in recent.after(-1, 10)]) == (2, [3, 4])


def test_the_oldest_goes_where_there_are_too_many_bytes():
    recent = Recent(0, limit=100, limit_bytes=2000)
    recent.add([entry(n, size=600) for n in range(5)])
    assert recent.bytes <= 2000
    assert (recent.first, len(recent)) == (4, 1)


def test_without_room_for_any_it_is_complete_from_the_last_on():
    recent = Recent(0, limit=0, limit_bytes=0)
    recent.add([entry(0), entry(1)])
    assert (recent.first, len(recent), recent.bytes) == (2, 0, 0)


def test_no_more_is_given_than_asked_for():
    recent = Recent(0, limit=10, limit_bytes=10**6)
    recent.add([entry(n) for n in range(5)])
    assert [each.offset for each in recent.after(1, 2)] == [2, 3]


@given(STEPS, st.integers(0, 12), st.integers(0, 6000), st.integers(-1, 200))
def test_what_follows_an_offset_that_it_reaches_is_all_there(steps, limit, limit_bytes, offset):
    recent, log, at = Recent(0, limit=limit, limit_bytes=limit_bytes), [], 0
    for step, size in steps:
        at += step
        log.append(entry(at, size=size))
        recent.add(log[-1:])
    assert len(recent) <= limit
    assert recent.bytes <= limit_bytes
    if offset + 1 >= recent.first:
        assert list(recent.after(offset, 1000)) == [each for each in log if each.offset > offset]


@given(STEPS, STEPS, st.integers(0, 40), st.integers(0, 20_000))
def test_what_lies_before_is_taken_as_far_as_there_is_room_and_without_a_gap(before, after, limit, limit_bytes):
    recent, log, at = Recent(50, limit=limit, limit_bytes=limit_bytes), [], 50
    for step, size in after:
        at += step
        log.append(entry(at, size=size))
        recent.add(log[-1:])
    earlier, offset = recent.begun_at(0), 0
    read = []
    for step, size in before:
        offset += step
        if offset < min(50, recent.first):
            read.append(entry(offset, size=size))
    earlier.add(read)
    was = recent.first
    if was == 50:
        recent.precede(earlier)
    assert recent.first <= was
    assert len(recent) <= limit
    assert recent.bytes <= limit_bytes
    assert list(recent.after(recent.first - 1, 1000)) == [each for each in read + log if each.offset >= recent.first]


def test_with_room_for_all_it_is_complete_from_where_what_lies_before_begins():
    recent = Recent(8, limit=10, limit_bytes=10**6)
    recent.add([entry(9)])
    earlier = recent.begun_at(3)
    earlier.add([entry(4), entry(6)])
    recent.precede(earlier)
    assert (recent.first, [each.offset for each in recent.after(2, 10)]) == (3, [4, 6, 9])


def test_many_that_went_leave_their_places():
    recent = Recent(0, limit=10, limit_bytes=10**6)
    for at in range(5000):
        recent.add([entry(at)])
    assert [each.offset for each in recent.after(-1, 100)] == list(range(4990, 5000))
