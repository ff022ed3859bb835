"""Lanes: the items on their way to one slot, in order, at most one record of them unacknowledged. Pure.

One record at a time, because of what a failure would do otherwise: were a later record acknowledged and an earlier one not, the gateway's
position would pass what it never got. What arrives meanwhile leaves in the next record, so a busy lane makes larger ones.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from common.deliveries import (
    Activated,
    Began,
    OperatorMessage,
    PackedRouted,
    Replayed,
    WrittenItem,
    WrittenSegment,
)
from common.identifiers import Generation
from router.commits import Tick


class Origin(NamedTuple):
    """Where items come from: the head of their segment."""

    channel: str
    partition: int
    generation: Generation
    stream: str


def size_of(item: WrittenItem) -> int:
    """Bytes that an item takes in a record, rounded up: MessagePack adds at most 5 to a text or a number, 9 to a large one."""
    match item:
        case PackedRouted():
            return len(item.body) + len(item.rooms) + len(item.key or b"") + 4 * len(item.user or "") + 48
        case Replayed():
            answers = sum([len(room) for room, _request in item.answers]) + 12 * len(item.answers)
            return len(item.body) + answers + len(item.key or b"") + 4 * len(item.user or "") + 48
        case OperatorMessage():
            return len(item.body) + 64
        case Activated() | Began():
            return len(item.room) + 48
        case _:
            return 512


class Lane:
    __slots__ = ("_acked", "_added", "_ends", "_in_flight", "_items", "bytes")

    def __init__(self) -> None:
        self._items: deque[tuple[Origin, WrittenItem, int]] = deque()
        self._ends: deque[tuple[int, Tick]] = deque()
        self._added = self._acked = self._in_flight = 0
        self.bytes = 0
        """Of the items that wait, not of those in flight."""

    @property
    def sendable(self) -> bool:
        return bool(self._items) and not self._in_flight

    @property
    def idle(self) -> bool:
        return not self._items and not self._in_flight

    def add(self, origin: Origin, items: list[WrittenItem], tick: Tick | None) -> int:
        """Put items at the end. `tick` is told by `acknowledged` when all of them are. Returns their bytes."""
        added = 0
        for item in items:
            size = size_of(item)
            added += size
            self._items.append((origin, item, size))
        self._added += len(items)
        if tick is not None:
            self._ends.append((self._added, tick))
        self.bytes += added
        return added

    def take(self, limit: int) -> tuple[list[WrittenSegment], int]:
        """The next record's segments and their bytes: at least one item, others as long as they stay within `limit` bytes."""
        segments: list[WrittenSegment] = []
        last: Origin | None = None
        taken = 0
        items = self._items
        while items and (not segments or taken + items[0][2] <= limit):
            origin, item, size = items.popleft()
            taken += size
            self._in_flight += 1
            if origin == last:
                segments[-1].items.append(item)
            else:
                segments.append(WrittenSegment(*origin, [item]))
                last = origin
        self.bytes -= taken
        return segments, taken

    def acknowledged(self) -> list[Tick]:
        """The record in flight is. Returns the ticks that are through with it."""
        self._acked += self._in_flight
        self._in_flight = 0
        done: list[Tick] = []
        while self._ends and self._ends[0][0] <= self._acked:
            done.append(self._ends.popleft()[1])
        return done
