"""The outbox of one connection that reads more slowly than its updates come: bounded, in order, conflating. Pure.

A connection has one only while its transport is full, which most never are. An update of a state channel takes the place of a waiting
one of the same entity, and waits at the end, so that offsets of a partition still leave in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.protocol import replies
from gateway.protocol.frames import text_frame

CHUNK_BYTES = 64 * 1024


class Entity(NamedTuple):
    """What an update of a state channel is about, and which one of it this is."""

    channel: str
    partition: int
    key: bytes
    offset: int


@dataclass(slots=True)
class _Spared:
    count: int
    first: str
    last: str


class Outbox:
    """At most `limit` bytes wait; frames are shared with other connections, so what this costs here is their references."""

    __slots__ = ("_allowed", "_frames", "_limit", "_numbers", "_spared", "size")

    def __init__(self, limit: int) -> None:
        self._frames: dict[object, tuple[bytes, int]] = {}
        self._limit = self._allowed = limit
        self._numbers = 0
        self._spared: dict[str, _Spared] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def allow(self, limit: int) -> None:
        """Let more wait for a while, for a replay: what it brings was asked for. The allowance goes as the outbox empties."""
        self._allowed = max(self._allowed, limit)

    def extend(self, frames: Iterable[bytes], entities: Mapping[int, Entity]) -> bool:
        """Queue frames; `entities` has those that may be conflated, by the frame's `id()`. False when that overflows."""
        for frame in frames:
            entity = entities.get(id(frame))
            if entity is None:
                self._numbers += 1
                self._frames[self._numbers] = (frame, -1)
            else:
                self._replace(entity, frame)
            self.size += len(frame)
        return self.size <= self._allowed

    def take(self) -> bytes:
        """The next frames, joined, about 64 KiB of them; empty when none wait."""
        chunk = [
            text_frame(replies.conflated(name, each.count, each.first, each.last))
            for name, each in self._spared.items()
        ]
        self._spared.clear()
        taken = 0
        while self._frames and taken < CHUNK_BYTES:
            key = next(iter(self._frames))
            frame, _offset = self._frames.pop(key)
            taken += len(frame)
            chunk.append(frame)
        self.size -= taken
        self._allowed = max(self._limit, min(self._allowed, self.size + self._limit))
        return b"".join(chunk)

    def _replace(self, entity: Entity, frame: bytes) -> None:
        place = entity[:3]
        waiting = self._frames.pop(place, None)
        if waiting is not None:
            superseded, offset = waiting
            self.size -= len(superseded)
            self._spare(entity.channel, f"{entity.partition}:{offset}")
        self._frames[place] = (frame, entity.offset)

    def _spare(self, channel: str, update_id: str) -> None:
        spared = self._spared.get(channel)
        if spared is None:
            self._spared[channel] = _Spared(1, update_id, update_id)
        else:
            spared.count += 1
            spared.last = update_id
