"""What is asked of the past: verdicts, queues, and matching against a plain look at the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.channels import Channel
from common.deliveries import Verdict
from common.filters import parse_filter
from common.identifiers import FencingEpoch, Slot
from common.rooms import room_of
from router.replay import Ask, Bounds, Matching, Origins, Queue, judge, pause_after
from services.router.tests.past import entry
from tests.support.matcher import matches


def ask(
    had: int | None, *, request: int = 1, slot: int = 0, filters: Mapping[str, Any] | None = None, **rest: Any
) -> Ask:
    room = room_of(Channel.PRICES, parse_filter(filters))
    return Ask(Slot(slot), FencingEpoch(7), room, request, had, **rest)


HELD = Bounds(oldest=10, end=50)


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        (ask(20, stream="abc"), Verdict.REPLAY),
        (ask(20), Verdict.REPLAY),
        (ask(49, stream="abc"), Verdict.REPLAY),
        (ask(9, stream="abc"), Verdict.REPLAY),
        (ask(-1, stream="abc"), Verdict.REPLAY),
        (ask(8, stream="abc"), Verdict.EXPIRED),
        (ask(20, stream="old"), Verdict.EXPIRED),
        (ask(50, stream="abc"), Verdict.FUTURE),
        (ask(50, stream="old"), Verdict.EXPIRED),
        (ask(None, snapshot=True), Verdict.SNAPSHOT),
        (ask(20, stream="abc", snapshot=True), Verdict.REPLAY),
        (ask(8, stream="abc", snapshot=True), Verdict.SNAPSHOT),
        (ask(50, stream="abc", snapshot=True), Verdict.SNAPSHOT),
        (ask(20, stream="old", snapshot=True), Verdict.SNAPSHOT),
    ],
)
def test_what_a_partition_gives_for_an_ask(asked: Ask, verdict: Verdict):
    assert judge(asked, HELD, stream="abc") is verdict


def test_a_cursor_of_an_empty_partition_is_good():
    assert judge(ask(-1, stream="abc"), Bounds(0, 0), stream="abc") is Verdict.REPLAY


@pytest.mark.parametrize(("had", "origin"), [(None, Origins.LATEST), (99, Origins.RECENT), (98, Origins.KAFKA)])
def test_an_answer_comes_from_memory_where_that_reaches_back_far_enough(had: int | None, origin: Origins):
    assert ask(had).origin(100) is origin


def test_an_ask_that_waits_or_is_being_answered_is_not_taken_again():
    queue = Queue()
    queue.add(ask(5))
    queue.add(ask(3))
    assert queue.take() == [ask(5)]
    queue.add(ask(5))
    assert queue.waiting == {}


def test_those_who_come_during_a_pass_are_in_the_next():
    queue = Queue()
    queue.add(ask(5))
    queue.take()
    queue.add(ask(5, request=2))
    assert [each.request for each in queue.take()] == [2]
    queue.add(ask(5))
    assert [each.request for each in queue.take()] == [1]


def test_an_ask_that_was_answered_may_come_again():
    queue = Queue()
    queue.add(ask(5))
    queue.take()
    queue.answered()
    queue.add(ask(5))
    assert queue.take() == [ask(5)]


@pytest.mark.parametrize(
    ("took", "asks", "pause"), [(0.3, 1, 0.02), (0.005, 100, 0.05), (0.1, 40, 0.8), (0.3, 1000, 2.0)]
)
def test_few_asks_hardly_wait_for_others_and_many_asks_of_long_passes_do(took: float, asks: int, pause: float):
    assert pause_after(took, asks=asks) == pytest.approx(pause)


FILTERS = st.sampled_from(
    [{}, {"minValue": 3}, {"maxValue": 5.5, "chains": ["base"]}, {"tokenIds": ["a"]}, {"minValue": 2, "maxValue": 4}]
)
ASKS = st.lists(st.tuples(st.integers(0, 2), FILTERS, st.integers(-1, 20)), min_size=1, max_size=12)
LOG = st.lists(
    st.fixed_dictionaries(
        {"tokenId": st.sampled_from("ab")},
        optional={"value": st.integers(0, 8), "chain": st.sampled_from(["base", "Base", "solana"])},
    ),
    max_size=20,
)


@given(ASKS, LOG)
def test_each_ask_is_answered_with_what_it_selects_after_its_cursor_and_an_update_goes_once_to_a_slot(asks, log):
    matching = Matching(3)
    for request, (slot, filters, had) in enumerate(asks):
        matching.add(ask(had, request=request, slot=slot, filters=filters), had)

    told = matching.match([entry(offset, update["tokenId"], **update) for offset, update in enumerate(log)])

    assert matching.first == min(had for _, _, had in asks) + 1
    for request, (slot, filters, had) in enumerate(asks):
        got = [item.offset for item in told.get(Slot(slot), ()) if request in [number for _, number in item.answers]]
        assert got == [offset for offset, update in enumerate(log) if offset > had and matches(update, filters)]
    for items in told.values():
        assert [item.offset for item in items] == sorted({item.offset for item in items})


def test_an_update_with_more_answers_than_a_record_can_carry_is_sent_in_parts():
    matching = Matching(0)
    for request in range(25_000):
        matching.add(ask(-1, request=request), -1)
    told = matching.match([entry(0)])[Slot(0)]
    assert [len(item.answers) for item in told] == [10_000, 10_000, 5_000]
