"""Which offsets may be committed: those of ticks whose deliveries are all acknowledged, in the order of the ticks. Pure.

A tick is what one poll of the source partitions gave. It is open until each of its parts (a slot's deliveries, a dead letter) is
acknowledged; the offsets of done ticks become ready when all ticks before them are done as well.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Generic, NewType, TypeVar

Tick = NewType("Tick", int)
P = TypeVar("P", bound=Hashable)


class Commits(Generic[P]):
    """`P` names a partition. An offset is the next one to be routed, as Kafka commits it."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[Tick, int] = {}
        self._offsets: dict[Tick, dict[P, int]] = {}
        self._ready: dict[P, int] = {}

    @property
    def pending(self) -> int:
        """Ticks that are not acknowledged, or wait for one before them."""
        return len(self._open)

    def begin(self, offsets: Mapping[P, int], *, parts: int) -> Tick:
        """A tick that ends at these offsets and has so many parts to be acknowledged."""
        self._last += 1
        tick = Tick(self._last)
        self._open[tick] = parts
        self._offsets[tick] = dict(offsets)
        self._advance()
        return tick

    def acknowledged(self, tick: Tick) -> bool:
        """One part of the tick is. Returns whether it was the last one. A tick that was reset is passed over."""
        if tick not in self._open:
            return False
        self._open[tick] -= 1
        last = self._open[tick] == 0
        self._advance()
        return last

    def take_ready(self) -> dict[P, int]:
        """What may be committed now, each once."""
        ready, self._ready = self._ready, {}
        return ready

    def give_back(self, offsets: Mapping[P, int]) -> None:
        """These could not be committed; they are ready again, unless later ones are."""
        self._ready = {**offsets, **self._ready}

    def drop(self, partitions: Collection[P]) -> None:
        """Partitions that are ours no more: never commit them."""
        for held in (self._ready, *self._offsets.values()):
            for partition in partitions:
                held.pop(partition, None)

    def reset(self) -> None:
        """Deliveries failed: nothing that is open may be committed. What was ready stays so."""
        self._open.clear()
        self._offsets.clear()

    def _advance(self) -> None:
        while self._open:
            tick = next(iter(self._open))
            if self._open[tick] > 0:
                return
            del self._open[tick]
            self._ready.update(self._offsets.pop(tick))
