"""Deliveries: what a router tells the gateway in a slot, one Kafka record a tick (ARCHITECTURE.md).

A record's value is MessagePack, positions instead of names:

    Delivery(version, slot_epoch, routed_at, [Segment(channel, partition, generation, stream, [item, ...]), ...])

A segment is a run of items of one source partition, in the order in which they hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, NewType

import msgspec

from common.errors import DefistreamError
from common.identifiers import RoomId

VERSION = 1


PackedRooms = NewType("PackedRooms", bytes)
"""Ids of rooms of one channel as a delivery has them, one after another: MessagePack texts, all of one length."""


EncodedItem = NewType("EncodedItem", bytes)
"""An item as it is within a delivery."""


class UnreadableDelivery(DefistreamError):
    """A record of `deliveries` that this version cannot read."""


class Routed(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """An update and the rooms of this slot that it matches.

    `user`: only connections of that user may have it, besides rooms whose filter names the user. `key` is the source record's, what the
    update is about; `produced_at` its timestamp in milliseconds; `body` the JSON that clients get.
    """

    offset: int
    rooms: list[str]
    body: bytes
    produced_at: int
    user: str | None = None
    key: bytes | None = None


class Activated(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """From `offset` on, every matching update of the partition is routed to `room`. Echoes the number of the interest record."""

    room: str
    offset: int
    request: int


class TookOver(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """The partition has a new owner, which routes from `offset` on and has read `rooms.interest` up to these offsets (exclusive)."""

    offset: int
    interest: dict[int, int]
    lost: bool = False
    """Something before `offset` was deleted before anybody had routed it."""


class Progress(msgspec.Struct, array_like=True, tag=4, frozen=True, gc=False):
    """The owner has routed everything up to and with `offset`, also what matched nothing."""

    offset: int


class OperatorMessage(msgspec.Struct, array_like=True, tag=5, frozen=True, gc=False):
    """An operator's broadcast, ready to send: to everyone, or to the subscribers of `channel`."""

    offset: int
    body: bytes
    channel: str | None = None


class Began(msgspec.Struct, array_like=True, tag=6, frozen=True, gc=False):
    """The answer of a partition to a record that asked for a replay or a snapshot begins; `Activated` ends it.

    `oldest` is the first offset that the partition still holds.
    """

    room: str
    request: int
    verdict: int
    oldest: int


class Verdict(IntEnum):
    """What a partition gives for what was asked of it."""

    REPLAY = 1
    SNAPSHOT = 2
    EXPIRED = 3
    """The cursor is of another stream, or what follows it is no longer held."""
    FUTURE = 4
    """The cursor names an offset that the partition has not reached."""


class Replayed(msgspec.Struct, array_like=True, tag=7, frozen=True, gc=False):
    """An earlier update, or the last one of its entity, for those who asked. Once for all requests that it answers.

    Fields as in `Routed`; `answers` are pairs of room and request.
    """

    offset: int
    answers: list[tuple[str, int]]
    body: bytes
    produced_at: int
    user: str | None = None
    key: bytes | None = None


Item = Routed | Activated | TookOver | Progress | OperatorMessage | Began | Replayed


class Segment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    channel: str
    partition: int
    generation: int
    stream: str
    """Epoch of the channel's stream: the first part of its cursors."""
    items: list[Item]


class Delivery(msgspec.Struct, array_like=True, frozen=True, gc=False):
    version: int
    slot_epoch: int
    """The slot's fencing epoch as the router knows it; a gateway drops deliveries for an older one."""
    routed_at: int
    """Milliseconds since 1970 by the router's clock."""
    segments: list[Segment]


class EncodedSegment(NamedTuple):
    """`Segment` with its items encoded already."""

    channel: str
    partition: int
    generation: int
    stream: str
    items: list[EncodedItem]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Delivery)
_LIST = b"\xdd%b"
"""MessagePack's list with a length of 32 bits."""
_ROUTED = b"\x97\x01"
"""How a `Routed` begins: a list of seven, the tag the first of them."""
_rooms = msgspec.msgpack.Decoder(list[str])


def encode_delivery(delivery: Delivery) -> bytes:
    return _encoder.encode(delivery)


def encode_segments(slot_epoch: int, routed_at: int, segments: Iterable[EncodedSegment]) -> bytes:
    """A delivery of items that are encoded."""
    lists = [(*head, msgspec.Raw(_LIST % len(items).to_bytes(4) + b"".join(items))) for *head, items in segments]
    return _encoder.encode((VERSION, slot_epoch, routed_at, lists))


def encode_item(item: Item) -> EncodedItem:
    return EncodedItem(_encoder.encode(item))


class RoutedParts(NamedTuple):
    """A `Routed`, encoded but for its rooms: what is the same for every slot is encoded once."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, item: Routed) -> RoutedParts:
        """`item` is one without rooms."""
        encoded = _encoder.encode(item)
        head = _ROUTED + _encoder.encode(item.offset)
        return cls(head, encoded[len(head) + 1 :])

    def to(self, rooms: PackedRooms, count: int) -> EncodedItem:
        """The item for these rooms, of which there are `count`."""
        return EncodedItem(b"".join((self.head, b"\xdd", count.to_bytes(4), rooms, self.tail)))


def pack_room(room: RoomId) -> bytes:
    return _encoder.encode(room)


def unpack_rooms(packed: PackedRooms) -> list[str]:
    return _rooms.decode(_LIST % count_rooms(packed).to_bytes(4) + packed)


def count_rooms(packed: PackedRooms) -> int:
    """Of at least one room."""
    return len(packed) // (1 + (packed[0] & 31))


def distinct_rooms(packed: PackedRooms) -> PackedRooms:
    """Each room once."""
    width = _width(packed)
    each = dict.fromkeys([packed[at : at + width] for at in range(0, len(packed), width)])
    return PackedRooms(b"".join(each))


def _width(packed: PackedRooms) -> int:
    """Bytes of an id: one that tells the length of what follows in its low five bits, up to 31, as every channel's id is."""
    return 1 + (packed[0] & 31)


def decode_delivery(value: bytes) -> Delivery:
    """Raises `UnreadableDelivery`, which names the reason."""
    try:
        delivery = _decoder.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreadableDelivery(f"not a delivery: {error}") from error
    if delivery.version != VERSION:
        raise UnreadableDelivery(f"version {delivery.version}; this gateway reads {VERSION}")
    return delivery
