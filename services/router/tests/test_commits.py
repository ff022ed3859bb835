"""Commits: what is committed was acknowledged, and so was everything before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.commits import Commits, Tick

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("begin"), st.dictionaries(st.sampled_from("abc"), st.integers(1, 5), min_size=1), st.integers(0, 3)
        ),
        st.tuples(st.just("acknowledge"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["take", "reset"])),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_offset_is_committed_before_all_deliveries_up_to_it_are_acknowledged(steps):
    commits: Commits[str] = Commits()
    next_offset = dict.fromkeys("abc", 0)
    open_parts: dict[Tick, int] = {}
    ends: dict[Tick, dict[str, int]] = {}
    committed = dict.fromkeys("abc", 0)
    for step in steps:
        match step:
            case ("begin", moves, parts):
                for partition, by in moves.items():
                    next_offset[partition] += by
                offsets = {partition: next_offset[partition] for partition in moves}
                tick = commits.begin(offsets, parts=parts)
                open_parts[tick], ends[tick] = parts, offsets
            case ("acknowledge", n) if open_parts:
                tick = list(open_parts)[n % len(open_parts)]
                if open_parts[tick] > 0:
                    open_parts[tick] -= 1
                    commits.acknowledged(tick)
            case ("reset",):
                commits.reset()
                for tick in _from_first_open(open_parts):
                    del open_parts[tick], ends[tick]
                # Routed again from what is committed, or is about to be.
                next_offset = {p: max([committed[p], *(e[p] for e in ends.values() if p in e)]) for p in "abc"}
            case ("take",):
                for partition, offset in commits.take_ready().items():
                    assert offset > committed[partition]
                    committed[partition] = offset
                    unacknowledged = [t for t, parts in open_parts.items() if parts and partition in ends[t]]
                    assert all(ends[tick][partition] > offset for tick in unacknowledged)


def _from_first_open(parts: dict[Tick, int]) -> list[Tick]:
    first = next((tick for tick, left in parts.items() if left), None)
    return [tick for tick in parts if first is not None and tick >= first]


def test_ticks_acknowledged_out_of_order_are_committed_in_order():
    commits: Commits[str] = Commits()
    first = commits.begin({"a": 3}, parts=1)
    second = commits.begin({"a": 7}, parts=1)
    assert commits.acknowledged(second) is True
    assert commits.take_ready() == {}
    commits.acknowledged(first)
    assert commits.take_ready() == {"a": 7}
    assert commits.take_ready() == {}


def test_a_tick_that_delivers_nothing_is_ready_at_once():
    commits: Commits[str] = Commits()
    commits.begin({"a": 3}, parts=0)
    assert commits.take_ready() == {"a": 3}
    assert commits.pending == 0


def test_partitions_that_are_gone_are_never_committed():
    commits: Commits[str] = Commits()
    commits.begin({"a": 1, "b": 1}, parts=0)
    tick = commits.begin({"a": 2, "b": 2}, parts=1)
    commits.drop(["a"])
    commits.acknowledged(tick)
    assert commits.take_ready() == {"b": 2}


def test_what_could_not_be_committed_is_ready_again_unless_later_offsets_are():
    commits: Commits[str] = Commits()
    commits.begin({"a": 1, "b": 1}, parts=0)
    taken = commits.take_ready()
    commits.begin({"a": 5}, parts=0)
    commits.give_back(taken)
    assert commits.take_ready() == {"a": 5, "b": 1}


def test_acknowledgements_of_ticks_that_were_reset_mean_nothing():
    commits: Commits[str] = Commits()
    tick = commits.begin({"a": 1}, parts=1)
    commits.reset()
    assert commits.acknowledged(tick) is False
    assert commits.take_ready() == {}
