"""Routing: records of a source partition and the rooms index give what each slot is told. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from common.channels import STATE_CHANNELS, SYSTEM, Channel
from common.deliveries import EncodedItem, OperatorMessage, Routed, RoutedParts, count_rooms, encode_item
from common.errors import InvalidUpdate
from common.identifiers import Slot
from common.updates import MAX_UPDATE_BYTES, decode_update, frame_json
from router.index import RoomsIndex
from router.latest import Removal
from router.recent import Entry

MOST_ROOMS = 20_000
"""Of one slot that one update can be delivered to: with the largest update, what fits a record (`kafka.MAX_RECORD_BYTES`)."""


class SourceRecord(Protocol):
    """What routing reads of a Kafka record; `timestamp` in milliseconds since 1970."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record set aside. `source` is its topic, or where else it came from."""

    reason: str
    source: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Routes:
    """What came of a run of records: items in the order of offsets, the updates and removals among them, and what could not be routed."""

    items: defaultdict[Slot, list[EncodedItem]] = field(default_factory=lambda: defaultdict(list))
    dead: list[tuple[SourceRecord, str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    updates: int = 0
    matched: int = 0


class _Broadcast(msgspec.Struct):
    type: Literal["broadcast"]
    data: msgspec.Raw
    channel: Channel | None = None


_broadcasts = msgspec.json.Decoder(_Broadcast)


def route_updates(channel: Channel, partition: int, records: Iterable[SourceRecord], index: RoomsIndex) -> Routes:
    """Route updates of one partition.

    A private update needs no rule here: rooms whose filter names the user match it as any other attribute, and for the rest `Routed`
    carries the user, to whom the gateway restricts it.
    """
    routes = Routes()
    for record in records:
        value = record.value
        if value is None:
            _removed(channel, record, routes)
            continue
        try:
            update = decode_update(value, channel=channel)
        except InvalidUpdate as error:
            routes.dead.append((record, error.message))
            continue
        routes.updates += 1
        routes.entries.append(Entry(record.offset, record.timestamp, record.key, update))
        matches = index.match(update)
        if not matches:
            continue
        body = frame_json(update, f"{partition}:{record.offset}", record_timestamp=record.timestamp)
        routed = Routed(record.offset, [], body, record.timestamp, update.user_id, record.key)
        parts = RoutedParts.of(routed)
        for slot, rooms in matches.items():
            count = count_rooms(rooms)
            if count > MOST_ROOMS:
                routes.dead.append(
                    (record, f"matches {count} rooms of slot {slot}; a delivery names {MOST_ROOMS} at most")
                )
                continue
            routes.items[slot].append(parts.to(rooms, count))
            routes.matched += count
    return routes


def route_broadcasts(
    partition: int, records: Iterable[SourceRecord], index: RoomsIndex, live: Sequence[Slot]
) -> Routes:
    """Route operators' broadcasts: to every live slot, or to those that want a room of the channel."""
    routes = Routes()
    for record in records:
        try:
            message = _operator_message(partition, record)
        except InvalidUpdate as error:
            routes.dead.append((record, error.message))
            continue
        routes.updates += 1
        slots = live if message.channel is None else index.channel(Channel(message.channel)).slots()
        item = encode_item(message)
        for slot in slots:
            routes.items[slot].append(item)
    return routes


def _removed(channel: Channel, record: SourceRecord, routes: Routes) -> None:
    """A null value: an entity of a state topic is no more, of which clients are told by the next snapshot."""
    if channel in STATE_CHANNELS and record.key is not None:
        routes.updates += 1
        routes.removals.append(Removal(record.offset, record.key))
        return
    routes.dead.append((record, f"empty value: {channel.value} has events, of which none can be removed"))


def decode_broadcast(value: bytes | None) -> tuple[Channel | None, bytes]:
    """Channel and data (JSON) of an operator's broadcast. Raises `InvalidUpdate` with the reason."""
    if value is None:
        raise InvalidUpdate("empty value")
    if len(value) > MAX_UPDATE_BYTES:
        raise InvalidUpdate(f"{len(value)} bytes; at most {MAX_UPDATE_BYTES} are allowed")
    try:
        # Text first: msgspec takes raw data as it is, and a frame that is not UTF-8 would end a client's connection.
        broadcast = _broadcasts.decode(value.decode())
    except UnicodeDecodeError as error:
        raise InvalidUpdate(f"not UTF-8 at byte {error.start}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidUpdate(f"not a broadcast: {error}") from None
    return broadcast.channel, bytes(broadcast.data)


def _operator_message(partition: int, record: SourceRecord) -> OperatorMessage:
    channel, data = decode_broadcast(record.value)
    named = b'"channel":"%b",' % channel.value.encode() if channel is not None else b""
    update_id = f"{SYSTEM}:{partition}:{record.offset}".encode()
    body = b'{"type":"broadcast","id":"%b",%b"data":%b,"timestamp":%d}' % (update_id, named, data, record.timestamp)
    return OperatorMessage(record.offset, body, channel.value if channel is not None else None)
