"""Recent: the last updates of one owned partition, decoded, so that a replay seldom has to read Kafka. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

import msgspec

from common.updates import Update

_OVERHEAD_BYTES = 400
"""What an entry takes besides its body and key, roughly: the structs, their ids and their places in lists."""
_offset = attrgetter("offset")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An update with what its record adds. `timestamp` in milliseconds since 1970; `key` names its entity."""

    offset: int
    timestamp: int
    key: bytes | None
    update: Update


class Recent:
    """Entries in the order of their offsets, the oldest dropped where there are more than `limit`, or than `limit_bytes` of them.

    `first` is the offset from which on nothing is missing: a record that is no update (a null, a dead letter) leaves no entry.
    """

    __slots__ = ("_bytes", "_entries", "_limit", "_limit_bytes", "_start", "first")

    def __init__(self, first: int, *, limit: int, limit_bytes: int) -> None:
        self.first = first
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._entries: list[Entry] = []
        self._start = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries) - self._start

    @property
    def bytes(self) -> int:
        return self._bytes

    def add(self, entries: Sequence[Entry]) -> None:
        """Take entries that follow those before."""
        self._entries += entries
        self._bytes += sum(map(_size, entries))
        while len(self) > self._limit or self._bytes > self._limit_bytes:
            self._drop_oldest()
        # Gone entries are removed many at a time: each removal moves all that stay.
        if self._start > 1024 and self._start * 2 > len(self._entries):
            del self._entries[: self._start]
            self._start = 0

    def after(self, offset: int, limit: int) -> Sequence[Entry]:
        """At most `limit` entries beyond an offset, without a gap where `offset + 1` is not below `first`."""
        at = bisect_right(self._entries, offset, lo=self._start, key=_offset)
        return self._entries[at : at + limit]

    def begun_at(self, first: int) -> Recent:
        """An empty one with the same bounds."""
        return Recent(first, limit=self._limit, limit_bytes=self._limit_bytes)

    def precede(self, earlier: Recent) -> None:
        """Take what lies right before `first`, as much of its end as there is room for."""
        entries = earlier._entries[earlier._start :]
        room, room_bytes = self._limit - len(self), self._limit_bytes - self._bytes
        at, size = len(entries), 0
        while at and len(entries) - at < room and size + _size(entries[at - 1]) <= room_bytes:
            at -= 1
            size += _size(entries[at])
        if at == 0:
            self.first = earlier.first
        elif at < len(entries):
            self.first = entries[at - 1].offset + 1
        self._entries[: self._start] = entries[at:]
        self._start = 0
        self._bytes += size

    def _drop_oldest(self) -> None:
        oldest = self._entries[self._start]
        self._start += 1
        self._bytes -= _size(oldest)
        self.first = oldest.offset + 1


def _size(entry: Entry) -> int:
    return len(entry.update.body) + len(entry.key or b"") + _OVERHEAD_BYTES
