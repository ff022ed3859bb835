"""One timing wheel for the deadlines of all connections: an entry costs a list slot, not a timer. Pure.

Entries are not cancelled: an item whose time has moved on is asked, finds nothing to do, and says when to ask next.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Buckets of `granularity` seconds; an item comes up at most that late, never early."""

    def __init__(self, *, granularity: float, now: float) -> None:
        self._granularity = granularity
        self._buckets: dict[int, list[T]] = {}
        self._next = self._bucket(now)

    def schedule(self, item: T, at: float) -> None:
        self._buckets.setdefault(max(self._bucket(at) + 1, self._next), []).append(item)

    def due(self, now: float) -> list[T]:
        """The items whose time has come, oldest first; they are in the wheel no more."""
        items: list[T] = []
        last = self._bucket(now)
        while self._next <= last:
            items += self._buckets.pop(self._next, ())
            self._next += 1
        return items

    def _bucket(self, at: float) -> int:
        return int(at / self._granularity)
