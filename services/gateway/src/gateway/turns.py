"""Turns of the event loop: of work that comes in bursts, each does a few, so that all else has its turn in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """`serve` is called for each item, in the order in which they came or were put, for `most` of them a turn.

    To be made with the event loop running.
    """

    def __init__(self, most: int, serve: Callable[[T], None]) -> None:
        self._most = most
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[T] = deque()
        self._left = most
        self._is_turning = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def put(self, item: T, *, first: bool = False) -> None:
        """At once where this turn has room for it; `first`: before all that wait."""
        (self._waiting.appendleft if first else self._waiting.append)(item)
        self._go_on()

    def hasten(self, item: T) -> None:
        """Put it before all that wait, where it still waits itself."""
        with suppress(ValueError):
            self._waiting.remove(item)
            self._waiting.appendleft(item)

    def drop(self) -> Sequence[T]:
        """What waits, and will not be served."""
        waiting, self._waiting = self._waiting, deque()
        return waiting

    def _go_on(self) -> None:
        # Before anything is served, as that may raise.
        if self._waiting and not self._is_turning:
            self._is_turning = True
            self._loop.call_soon(self._turn)
        while self._waiting and self._left:
            self._left -= 1
            self._serve(self._waiting.popleft())

    def _turn(self) -> None:
        self._is_turning = False
        self._left = self._most
        self._go_on()
