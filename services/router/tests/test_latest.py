"""The table of last values: what it says of a topic is what a plain fold of the topic says, wherever its pieces came from."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from router.latest import Change, Latest, Removal, State
from router.recent import Entry
from services.router.tests.past import entry


def change(offset: int, key: str, removed: bool) -> Change:
    return Removal(offset, key.encode()) if removed else entry(offset, key)


LOGS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30).map(
    lambda steps: [change(offset, key, removed) for offset, (key, removed) in enumerate(steps)]
)


def folded(log: Sequence[Change]) -> dict[bytes | None, int]:
    """Entity -> offset of its last value."""
    last: dict[bytes | None, int] = {}
    for each in log:
        if isinstance(each, Entry):
            last[each.key] = each.offset
        else:
            last.pop(each.key, None)
    return last


def shown(latest: Latest) -> dict[bytes | None, int]:
    return {each.key: each.offset for each in latest.entries()}


def route(latest: Latest, changes: Sequence[Change], upto: int) -> None:
    entries = [each for each in changes if isinstance(each, Entry)]
    latest.route(entries, [each for each in changes if isinstance(each, Removal)], upto)


def checkpoint(log: Sequence[Change]) -> list[Entry]:
    by_offset = {each.offset: each for each in log if isinstance(each, Entry)}
    return [by_offset[offset] for offset in folded(log).values()]


@given(LOGS, st.data())
def test_a_table_from_checkpoint_history_and_routing_is_the_fold_of_the_topic(log, data):
    """The checkpoint may be ahead of the offset from which routing goes on, and what is routed may come before all of it."""
    end = len(log)
    held, start = data.draw(st.integers(0, end)), data.draw(st.integers(0, end))
    early = data.draw(st.integers(start, end))
    latest = Latest(start)

    route(latest, log[start:early], early)
    latest.begin(held, checkpoint=held)
    latest.load(checkpoint(log[:held]))
    latest.read(log[held:start])
    latest.reached(start)
    latest.complete()

    assert shown(latest) == folded(log[: max(held, early)])
    for at in range(early, end):
        route(latest, log[at : at + 1], at + 1)
        assert shown(latest) == folded(log[: max(held, at + 1)])
    assert latest.next == max(held, end, start)


@given(LOGS, st.data())
def test_a_checkpoint_kept_up_by_changes_is_the_table(log, data):
    latest, kept = Latest(0), dict[bytes | None, int]()
    latest.begin(0, checkpoint=None)
    latest.complete()
    at = 0
    while at < len(log):
        upto = data.draw(st.integers(at + 1, len(log)))
        route(latest, log[at:upto], upto)
        changes = latest.take_changes()
        assert changes is not None
        if changes.whole:
            kept.clear()
        for key in changes.removed:
            kept.pop(key, None)
        kept.update({each.key: each.offset for each in changes.entries})
        assert (kept, changes.next) == (folded(log[:upto]), upto)
        if data.draw(st.booleans()):
            latest.not_written()
            kept = {b"unknown": -1}
            log = [*log, entry(len(log), "z")] if upto == len(log) else log
        at = upto


def test_there_is_nothing_to_write_while_it_is_built_nor_when_nothing_moved():
    latest = Latest(0)
    latest.begin(0, checkpoint=None)
    assert latest.take_changes() is None
    latest.complete()
    assert latest.take_changes() is not None
    assert latest.take_changes() is None
    assert latest.state is State.READY


def test_only_the_offset_is_written_where_no_entity_changed():
    latest = Latest(0)
    latest.begin(0, checkpoint=0)
    latest.complete()
    latest.route([], [], 7)
    changes = latest.take_changes()
    assert changes is not None
    assert (changes.next, list(changes.entries), changes.whole) == (7, [], False)


def test_entries_are_in_the_order_of_offsets():
    latest = Latest(0)
    latest.complete()
    latest.route([entry(0, "a"), entry(1, "b"), entry(2, "a")], [], 3)
    assert [each.offset for each in latest.entries()] == [1, 2]
