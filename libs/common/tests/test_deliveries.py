"""Deliveries cross from router to gateway unchanged; bytes that are none are refused, not guessed at."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.channels import Channel
from common.deliveries import (
    VERSION,
    Activated,
    Delivery,
    EncodedSegment,
    OperatorMessage,
    PackedRooms,
    Progress,
    Routed,
    RoutedParts,
    Segment,
    TookOver,
    UnreadableDelivery,
    count_rooms,
    decode_delivery,
    distinct_rooms,
    encode_delivery,
    encode_item,
    encode_segments,
    pack_room,
    unpack_rooms,
)
from common.identifiers import RoomId

TEXT = st.text(max_size=20)
OFFSETS = st.integers(0, 2**63 - 1)
ITEMS = st.one_of(
    st.builds(
        Routed,
        offset=OFFSETS,
        rooms=st.lists(TEXT, max_size=4),
        body=st.binary(max_size=40),
        produced_at=OFFSETS,
        user=st.none() | TEXT,
        key=st.none() | st.binary(max_size=10),
    ),
    st.builds(Activated, room=TEXT, offset=OFFSETS, request=OFFSETS),
    st.builds(TookOver, offset=OFFSETS, interest=st.dictionaries(st.integers(0, 64), OFFSETS, max_size=4)),
    st.builds(Progress, offset=OFFSETS),
    st.builds(OperatorMessage, offset=OFFSETS, body=st.binary(max_size=40), channel=st.none() | TEXT),
)
SEGMENTS = st.builds(
    Segment,
    channel=TEXT,
    partition=st.integers(0, 64),
    generation=OFFSETS,
    stream=TEXT,
    items=st.lists(ITEMS, max_size=5),
)
DELIVERIES = st.builds(
    Delivery, version=st.just(VERSION), slot_epoch=OFFSETS, routed_at=OFFSETS, segments=st.lists(SEGMENTS, max_size=3)
)


@given(DELIVERIES)
def test_a_delivery_comes_back_as_it_was(delivery):
    assert decode_delivery(encode_delivery(delivery)) == delivery


ROOMS = st.sampled_from(list(Channel)).flatmap(
    lambda channel: st.lists(
        st.integers(0, 2**64 - 1).map(lambda number: f"{channel.value}:{number:016x}"), min_size=1, max_size=300
    )
)


@given(ROOMS, OFFSETS)
def test_packed_rooms_arrive_as_the_rooms_that_they_are(rooms, offset):
    packed = PackedRooms(b"".join(pack_room(RoomId(room)) for room in rooms))
    parts = RoutedParts.of(Routed(offset, [], b"{}", 9, "user", b"key"))
    items = [parts.to(packed, count_rooms(packed)), encode_item(Progress(8))]
    [read] = decode_delivery(encode_segments(1, 2, [EncodedSegment("prices", 1, 2, "abc", items)])).segments
    assert read == Segment("prices", 1, 2, "abc", [Routed(offset, rooms, b"{}", 9, "user", b"key"), Progress(8)])
    assert unpack_rooms(packed) == rooms
    assert count_rooms(packed) == len(rooms)
    assert unpack_rooms(distinct_rooms(packed)) == list(dict.fromkeys(rooms))


@given(st.binary(max_size=80))
def test_bytes_that_are_no_delivery_are_refused(value):
    with pytest.raises(UnreadableDelivery):
        decode_delivery(value)


@given(DELIVERIES, st.data())
def test_a_cut_delivery_is_refused(delivery, data):
    value = encode_delivery(delivery)
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(UnreadableDelivery):
        decode_delivery(value[:cut])


def test_another_version_is_refused_by_its_number():
    value = encode_delivery(Delivery(VERSION + 1, 1, 1, []))
    with pytest.raises(UnreadableDelivery, match=f"version {VERSION + 1}"):
        decode_delivery(value)


def test_deep_nesting_is_refused():
    with pytest.raises(UnreadableDelivery):
        decode_delivery(b"\x94\x01\x01\x01" + b"\x91" * 100_000)


def test_a_field_added_at_the_end_by_a_newer_writer_is_passed_over():
    value = msgspec.msgpack.encode([VERSION, 7, 9, [], "later"])
    assert decode_delivery(value) == Delivery(VERSION, 7, 9, [])
