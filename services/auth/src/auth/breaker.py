"""A circuit breaker: a backend that fails again and again is left alone for a while. Pure; `now` is passed in, seconds.

CLOSED --n failures in a row--> OPEN --open time over--> PROBING --success--> CLOSED
                                  ^------------failure------------'
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    CLOSED = auto()
    OPEN = auto()
    PROBING = auto()


@dataclass(slots=True)
class CircuitBreaker:
    """`failures` in a row open it for `open_seconds`; then one call at a time goes through until one succeeds.

    A probe whose outcome is never told (it was cancelled) counts as lost after another `open_seconds`.
    """

    failures: int
    open_seconds: float
    _state: State = State.CLOSED
    _failed: int = 0
    _until: float = 0.0

    @property
    def state(self) -> State:
        return self._state

    def allows(self, now: float) -> bool:
        """Whether to call now. True in OPEN makes this call the probe."""
        if self._state is State.CLOSED:
            return True
        if now < self._until:
            return False
        self._state = State.PROBING
        self._until = now + self.open_seconds
        return True

    def succeeded(self) -> bool:
        """Tell of a call that was answered. Returns whether this closed the breaker."""
        closed = self._state is not State.CLOSED
        self._state = State.CLOSED
        self._failed = 0
        return closed

    def failed(self, now: float) -> bool:
        """Tell of a call that was not answered. Returns whether this opened the breaker, from closed or again."""
        self._failed += 1
        if self._state is State.OPEN or (self._state is State.CLOSED and self._failed < self.failures):
            return False
        self._state = State.OPEN
        self._until = now + self.open_seconds
        return True
