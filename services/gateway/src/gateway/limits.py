"""Counting what clients do, against their limits. Pure: `now` is passed in, in monotonic seconds."""

from __future__ import annotations

WINDOW_SECONDS = 60.0


class Window:
    """A count in a fixed minute that starts with its first event, so that exactly `limit` pass in it.

    A token bucket would refill while it is used up, and let more than `limit` pass in a minute.
    """

    __slots__ = ("_count", "_start")

    def __init__(self) -> None:
        self._start = -WINDOW_SECONDS
        self._count = 0

    def count(self, now: float) -> int:
        """Count one event; returns how many this window has seen with it."""
        if now - self._start >= WINDOW_SECONDS:
            self._start = now
            self._count = 0
        self._count += 1
        return self._count

    def remaining(self, now: float) -> float:
        """Seconds until the window ends."""
        return max(0.0, self._start + WINDOW_SECONDS - now)


class AddressLimits:
    """New connections a minute, by address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: dict[str, Window] = {}
        self._swept = 0.0

    def admit(self, address: str, now: float) -> float | None:
        """`None` when one more connection of this address is welcome, else the seconds until it would be."""
        self._sweep(now)
        window = self._windows.setdefault(address, Window())
        if window.count(now) <= self._limit:
            return None
        return window.remaining(now)

    def _sweep(self, now: float) -> None:
        """Forget addresses whose minute is over: memory follows the present load, not its history."""
        if now - self._swept < WINDOW_SECONDS:
            return
        self._swept = now
        self._windows = {address: window for address, window in self._windows.items() if window.remaining(now) > 0}
