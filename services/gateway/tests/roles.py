"""Small in-memory parts that play the roles which the gateway's parts ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import settings

from common.channels import Channel
from common.clock import Clock
from common.deliveries import VERSION, Delivery, Item, Routed, Segment
from common.filters import parse_filter
from common.identifiers import RoomId
from common.rooms import Room, room_of
from gateway.activation import Activation, Waiting
from gateway.catching import CatchingUp
from gateway.fan_out import HubRoom
from gateway.hub import Hub
from gateway.members import NONE_WAIT, Frames
from gateway.outbox import Entity
from gateway.positions import Positions
from gateway.recent import Recent

STREAM = "k3f9"

examples = settings(max_examples=40)
"""Enough to find what is wrong in a second; a busy machine fails nothing."""


def room(channel: str = "prices", **filters: Any) -> Room:
    """The room of a channel and a filter, written as on the wire."""
    return room_of(Channel(channel), parse_filter(filters or None))


def tokens(*token_ids: str) -> Room:
    return room(tokenIds=list(token_ids))


@dataclass(frozen=True, slots=True)
class Ask:
    since: Mapping[int, int] | None
    stream: str | None
    snapshot: bool


class RecordingInterest:
    """What the gateway wants at present, and each record as it was written: `(room id, request)`, request `None` for "no more"."""

    def __init__(self) -> None:
        self.records: list[tuple[RoomId, int | None]] = []
        self.asks: dict[int, Ask] = {}
        """What came with the latest record of each request."""

    def want(
        self,
        room: Room,
        request: int,
        *,
        since: Mapping[int, int] | None = None,
        stream: str | None = None,
        snapshot: bool = False,
    ) -> None:
        self.records.append((room.id, request))
        self.asks[request] = Ask(since, stream, snapshot)

    def unwant(self, room: Room) -> None:
        self.records.append((room.id, None))

    @property
    def wanted(self) -> set[RoomId]:
        return {room_id for room_id, request in dict(self.records).items() if request is not None}

    def request(self, room: Room) -> int:
        """Number of the latest record of a room."""
        return max(request for room_id, request in self.records if room_id == room.id and request is not None)

    def requests(self, room: Room) -> int:
        """How many records asked for the room."""
        return sum(room_id == room.id and request is not None for room_id, request in self.records)


class Subscribe:
    """A subscribe that waits for its rooms, and what became of it."""

    def __init__(self, *rooms: Room, since: float = 0.0) -> None:
        self.outcomes: list[str] = []
        self.waiting = Waiting(rooms, since, lambda: self.outcomes.append("done"), self.outcomes.append)

    @property
    def outcome(self) -> str | None:
        """`done`, the reason of a failure, or `None` as long as it waits."""
        assert len(self.outcomes) <= 1, f"answered more than once: {self.outcomes}"
        return self.outcomes[0] if self.outcomes else None


class RecordingMember:
    """A connection that keeps the frames it was to write, one list a write."""

    def __init__(self, user: str | None = None) -> None:
        self.frames = NONE_WAIT
        self.home: HubRoom | None = None
        self.rooms = 0
        self.catching_up = 0
        self.writes: list[list[bytes]] = []
        self.joined: list[bytes] = []
        self._user = user

    @property
    def user(self) -> str | None:
        return self._user

    def flush(self, entities: Mapping[int, Entity]) -> None:
        frames, self.frames = self.frames, NONE_WAIT
        self.send(b"".join(frames), frames, entities)

    def send(self, joined: bytes, frames: Frames, _entities: Mapping[int, Entity]) -> None:
        assert joined == b"".join(frames)
        self.joined.append(joined)
        self.writes.append(list(frames))

    @property
    def got(self) -> list[str]:
        """The bodies of all frames written, in order; they are short, so that a frame's head has two or four bytes."""
        return [frame[2 if frame[1] < 126 else 4 :].decode() for write in self.writes for frame in write]


def hub_of(
    interest: RecordingInterest,
    positions: Positions,
    clock: Clock,
    recent: Recent | None = None,
    *,
    partitions: int,
    retry: float = 1.0,
) -> Hub:
    """A hub of channels with so many partitions, and its parts."""

    def count(_channel: str) -> int:
        return partitions

    activation = Activation(
        interest,
        partitions=count,
        recovering=positions.recover,
        position=positions.position,
        stream=positions.epoch,
        retry=retry,
        timeout=5.0,
    )
    recent = recent or Recent(0)
    catching_up = CatchingUp(interest, activation, positions, recent, partitions=count, retry=retry, timeout=30.0)
    return Hub(activation, catching_up, positions, recent, clock=clock.monotonic)


def delivery(
    *items: Item, channel: str = "prices", partition: int = 0, generation: int = 1, stream: str = STREAM
) -> Delivery:
    """A record of `deliveries` with one segment."""
    return Delivery(VERSION, 1, 0, [Segment(channel, partition, generation, stream, list(items))])


def routed(offset: int, *rooms: Room, user: str | None = None) -> Routed:
    """An update whose body is its offset."""
    return Routed(offset, [each.id for each in rooms], f"{offset}".encode(), 0, user)


@dataclass(frozen=True, slots=True)
class Written:
    """A record as the broker has it."""

    topic: str
    key: bytes | None
    value: bytes | None

    @property
    def json(self) -> dict[str, Any]:
        assert self.value is not None
        found: dict[str, Any] = orjson.loads(self.value)
        return found


@dataclass(frozen=True, slots=True)
class Metadata:
    topic: str
    partition: int
    offset: int


class MemoryProducer:
    """A producer whose broker is a list for each topic, of one partition; `readers` are told of each record of theirs."""

    def __init__(self, readers: Mapping[str, Callable[[Written], None]] | None = None) -> None:
        self.written: list[Written] = []
        self._readers = readers or {}

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        *,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Metadata]:
        record = Written(topic, key, value)
        offset = len(self.on(topic))
        self.written.append(record)
        acknowledged: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(Metadata(topic, 0, offset))
        if (reader := self._readers.get(topic)) is not None:
            asyncio.get_running_loop().call_soon(reader, record)
        return acknowledged

    def on(self, topic: str) -> list[Written]:
        """The records of a topic, in order."""
        return [record for record in self.written if record.topic == topic]
