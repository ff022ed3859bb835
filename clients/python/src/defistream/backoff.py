"""Waits between attempts, with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Each wait is drawn evenly from 0 to a ceiling that doubles from `first` to `cap` seconds.

    So a thousand clients of one dead gateway come back spread out, not all at once.
    """

    def __init__(self, *, first: float = 0.5, cap: float = 30.0, draw: Callable[[], float] = random.random) -> None:
        self._first = first
        self._cap = cap
        self._draw = draw
        self._attempts = 0

    def next(self, *, at_least: float | None = None) -> float:
        """Seconds to wait now. What the server asked for (`at_least`) is waited in full, and the jitter comes on top."""
        # 2.0**64 is far above any cap; the limit keeps the power from overflowing in a client that waits for days.
        ceiling = min(self._cap, self._first * 2.0 ** min(self._attempts, 64))
        self._attempts += 1
        return (at_least or 0.0) + self._draw() * ceiling

    def reset(self) -> None:
        """The connection has proved useful: the next wait is a short one again."""
        self._attempts = 0
