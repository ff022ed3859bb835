"""Lanes: every item leaves once, in order, in records that stay small enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.deliveries import (
    EncodedItem,
    EncodedSegment,
    OperatorMessage,
    decode_delivery,
    encode_item,
    encode_segments,
)
from common.identifiers import FencingEpoch, Generation
from router.commits import Tick
from router.lanes import Lane, Origin
from services.router.tests.told import all_of

ORIGINS = [Origin("prices", 0, Generation(7), "abc"), Origin("tvl", 3, Generation(1_700_000_000_000), "def")]
ADDS = st.lists(st.tuples(st.sampled_from(ORIGINS), st.lists(st.integers(0, 300), min_size=1, max_size=5)), max_size=12)


def item(offset: int, size: int) -> EncodedItem:
    return encode_item(OperatorMessage(offset, b"x" * size))


def take(lane: Lane, limit: int) -> list[EncodedSegment]:
    """The next record. Asserts that no other may leave before it is acknowledged."""
    segments, _ = lane.take(limit)
    assert not lane.sendable
    return segments


def read(encoded: list[EncodedSegment]) -> list[tuple[str, OperatorMessage]]:
    segments = decode_delivery(encode_segments(1_700_000_000_000, 1_700_000_000_000, encoded)).segments
    return [(segment.channel, item) for segment in segments for item in all_of(OperatorMessage, segment.items)]


@given(ADDS, st.integers(100, 2000))
def test_items_leave_in_order_and_ticks_are_told_when_all_of_theirs_are_acknowledged(adds, limit):
    lane, offset = Lane(), 0
    put: list[tuple[str, int, int]] = []
    seen: list[tuple[str, int]] = []
    ended: list[Tick] = []
    for tick, (origin, sizes) in enumerate(adds):
        items = [item(offset + n, size) for n, size in enumerate(sizes)]
        offset += len(items)
        put += [(origin.channel, offset - n, tick) for n in range(len(items), 0, -1)]
        lane.add(origin, items, Tick(tick), FencingEpoch(1))
    while lane.sendable:
        seen += [(channel, each.offset) for channel, each in read(take(lane, limit))]
        ended += lane.acknowledged()
        assert ended == [t for t in range(len(adds)) if all((c, o) in seen for c, o, of in put if of == t)]
    assert seen == [(channel, offset) for channel, offset, _ in put]
    assert lane.idle
    assert lane.bytes == 0


@given(ADDS, st.integers(600, 3000))
def test_a_record_is_never_larger_than_its_limit_unless_one_item_alone_is(adds, limit):
    lane = Lane()
    for origin, sizes in adds:
        lane.add(origin, [item(n, size) for n, size in enumerate(sizes)], None, FencingEpoch(1))
    while lane.sendable:
        segments, _ = lane.take(limit)
        encoded = encode_segments(1_700_000_000_000, 1_700_000_000_000, segments)
        assert len(encoded) <= limit + 64
        lane.acknowledged()


def test_what_waits_for_a_slots_former_holder_leaves_under_its_epoch():
    lane = Lane()
    for offset, epoch in enumerate((1, 1, 2)):
        lane.add(ORIGINS[0], [item(offset, 10)], Tick(offset), FencingEpoch(epoch))
    left = []
    while lane.sendable:
        epoch = lane.epoch
        left.append((epoch, [each.offset for _, each in read(lane.take(1000)[0])], lane.acknowledged()))
    assert left == [(1, [0, 1], [0, 1]), (2, [2], [2])]
