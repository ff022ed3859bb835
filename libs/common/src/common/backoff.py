"""Waiting longer after each failure, with jitter, so that a backend that comes back is not met by everyone at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Equal jitter (M. Brooker, "Exponential Backoff And Jitter", 2015): between half and all of a doubling bound. Seconds."""

    first: float = 0.1
    most: float = 5.0
    _failures: int = 0
    _random: random.Random = field(default_factory=random.Random)

    def next(self) -> float:
        bound = min(self.most, self.first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self._random.uniform(bound / 2, bound)

    def reset(self) -> None:
        self._failures = 0
