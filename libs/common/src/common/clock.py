"""Time as a role, so that what depends on it can be tested without waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds since some start; never goes back. For durations and deadlines."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC. For what other machines and people read."""
        ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves when told to. For tests and simulations."""

    def __init__(self, *, monotonic: float = 1000.0, now_ms: int = 1_700_000_000_000) -> None:
        self._monotonic = monotonic
        self._now_ms = now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self._now_ms += round(seconds * 1000)
