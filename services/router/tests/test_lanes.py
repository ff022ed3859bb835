"""Lanes: every item leaves once, in order, in records that stay small enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.deliveries import (
    VERSION,
    Activated,
    OperatorMessage,
    PackedRooms,
    PackedRouted,
    Progress,
    TookOver,
    WrittenDelivery,
    WrittenSegment,
    encode_delivery,
    pack_room,
    room_list,
)
from common.identifiers import Generation, RoomId
from router.commits import Tick
from router.lanes import Lane, Origin, size_of

ORIGINS = [Origin("prices", 0, Generation(7), "abc"), Origin("tvl", 3, Generation(1_700_000_000_000), "def")]
ADDS = st.lists(st.tuples(st.sampled_from(ORIGINS), st.lists(st.integers(0, 300), min_size=1, max_size=5)), max_size=12)


ROOM = pack_room(RoomId("prices:0123456789abcdef"))


def routed(offset: int, size: int) -> PackedRouted:
    return PackedRouted(offset, room_list(PackedRooms(ROOM)), b"x" * size, 1_700_000_000_000)


@given(ADDS, st.integers(100, 2000))
def test_items_leave_in_order_and_ticks_are_told_when_all_of_theirs_are_acknowledged(adds, limit):
    lane, put, seen, ended, offset = Lane(), [], [], [], 0
    for tick, (origin, sizes) in enumerate(adds):
        items = [routed(offset + n, size) for n, size in enumerate(sizes)]
        offset += len(items)
        put += [(origin.channel, item.offset, tick) for item in items]
        lane.add(origin, items, Tick(tick))
    while lane.sendable:
        segments, _ = lane.take(limit)
        assert not lane.sendable
        seen += [(segment.channel, item.offset) for segment in segments for item in segment.items]
        ended += lane.acknowledged()
        assert ended == [t for t in range(len(adds)) if all((c, o) in seen for c, o, of in put if of == t)]
    assert seen == [(channel, offset) for channel, offset, _ in put]
    assert lane.idle
    assert lane.bytes == 0


@given(ADDS, st.integers(600, 3000))
def test_a_record_is_never_larger_than_its_limit_unless_one_item_alone_is(adds, limit):
    lane = Lane()
    for origin, sizes in adds:
        lane.add(origin, [routed(n, size) for n, size in enumerate(sizes)], None)
    while lane.sendable:
        segments, _ = lane.take(limit)
        encoded = encode_delivery(WrittenDelivery(VERSION, 1_700_000_000_000, 1_700_000_000_000, segments))
        assert len(encoded) <= limit + 64
        lane.acknowledged()


@given(st.text(max_size=400), st.integers(1, 60), st.integers(0, 2**62), st.binary(max_size=300))
def test_the_size_of_an_item_is_never_underestimated(text, rooms, offset, blob):
    kinds = [
        PackedRouted(offset, room_list(PackedRooms(ROOM * rooms)), blob, offset, text, blob),
        Activated("prices:" + "0" * 16, offset, offset),
        OperatorMessage(offset, blob, "prices"),
        Progress(offset),
        TookOver(offset, dict.fromkeys(range(16), offset)),
    ]
    for item in kinds:
        record = encode_delivery(WrittenDelivery(VERSION, 0, 0, [_segment(item)]))
        empty = encode_delivery(WrittenDelivery(VERSION, 0, 0, [_segment(None)]))
        assert len(record) - len(empty) <= size_of(item) + 4


def _segment(item):
    return WrittenSegment(*ORIGINS[0], [] if item is None else [item])
