"""Lanes: the items on their way to one slot, in order, at most one record of them unacknowledged. Pure.

One record at a time, because of what a failure would do otherwise: were a later record acknowledged and an earlier one not, the gateway's
position would pass what it never got. What arrives meanwhile leaves in the next record, so a busy lane makes larger ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from common.deliveries import EncodedItem, EncodedSegment
from common.identifiers import FencingEpoch, Generation
from router.commits import Tick

_HEAD_BYTES = 128
"""What a segment takes besides its items, at most: names of a channel and a stream, three numbers."""


class Origin(NamedTuple):
    """Where items come from: the head of their segment."""

    channel: str
    partition: int
    generation: Generation
    stream: str


@dataclass(slots=True)
class _Run:
    """Items of one origin that came together, for the holder of the slot at the time."""

    epoch: FencingEpoch
    origin: Origin
    items: list[EncodedItem]
    bytes: int

    def split(self, limit: int) -> tuple[list[EncodedItem], int]:
        """Take as many from the front as have at most `limit` bytes. Returns them and their bytes."""
        sizes = list(accumulate(map(len, self.items)))
        count = bisect_right(sizes, limit)
        taken = sizes[count - 1] if count else 0
        front, self.items = self.items[:count], self.items[count:]
        self.bytes -= taken
        return front, taken


class Lane:
    __slots__ = ("_acked", "_added", "_ends", "_in_flight", "_runs", "bytes")

    def __init__(self) -> None:
        self._runs: deque[_Run] = deque()
        self._ends: deque[tuple[int, Tick]] = deque()
        self._added = self._acked = self._in_flight = 0
        self.bytes = 0
        """Of the items that wait, not of those in flight."""

    @property
    def sendable(self) -> bool:
        return bool(self._runs) and not self._in_flight

    @property
    def idle(self) -> bool:
        return not self._runs and not self._in_flight

    @property
    def epoch(self) -> FencingEpoch:
        """Of the slot's holder for whom the next record is: the items before a new one's are not for it, and are fenced by theirs."""
        return self._runs[0].epoch

    def add(self, origin: Origin, items: list[EncodedItem], tick: Tick | None, epoch: FencingEpoch) -> int:
        """Put items at the end. `tick` is told by `acknowledged` when all of them are. Returns their bytes."""
        added = sum(map(len, items))
        if items:
            self._runs.append(_Run(epoch, origin, items, added))
        self._added += len(items)
        if tick is not None:
            self._ends.append((self._added, tick))
        self.bytes += added
        return added

    def take(self, limit: int) -> tuple[list[EncodedSegment], int]:
        """The next record's segments and their items' bytes: at least one item, others of its epoch as long as all stays within `limit`."""
        segments: list[EncodedSegment] = []
        last: Origin | None = None
        left, taken = limit, 0
        epoch = self.epoch
        while self._runs and (run := self._runs[0]).epoch == epoch:
            left -= _HEAD_BYTES if run.origin != last else 0
            items, size = self._front(run, left, must=not segments)
            if not items:
                break
            if run.origin == last:
                segments[-1].items.extend(items)
            else:
                segments.append(EncodedSegment(*run.origin, [*items]))
                last = run.origin
            left -= size
            taken += size
            self._in_flight += len(items)
        self.bytes -= taken
        return segments, taken

    def _front(self, run: _Run, limit: int, *, must: bool) -> tuple[list[EncodedItem], int]:
        """What fits of the first run; the first item in any case where there `must` be one."""
        if run.bytes <= limit:
            self._runs.popleft()
            return run.items, run.bytes
        items, size = run.split(max(limit, len(run.items[0])) if must else limit)
        if not run.items:
            self._runs.popleft()
        return items, size

    def acknowledged(self) -> list[Tick]:
        """The record in flight is. Returns the ticks that are through with it."""
        self._acked += self._in_flight
        self._in_flight = 0
        done: list[Tick] = []
        while self._ends and self._ends[0][0] <= self._acked:
            done.append(self._ends.popleft()[1])
        return done
