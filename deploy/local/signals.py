"""The wish to end, as a flag: a second Ctrl-C, or the signal that `make` passes on, changes nothing while the run ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

POLL_SECONDS = 0.05


class StopRequested(Exception):
    """The user asked the run to end."""


class StopFlag:
    """Set by SIGINT (Ctrl-C), SIGTERM, and SIGHUP (the terminal was closed)."""

    def __init__(self) -> None:
        self.requested = False
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, self._set)

    def _set(self, *_: object) -> None:
        self.requested = True

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; StopRequested when the flag is set first."""
        while not condition():
            self.pause()

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Let the time pass; StopRequested as soon as the flag is set."""
        until = time.monotonic() + seconds
        while not self.requested and time.monotonic() < until:
            time.sleep(min(seconds, POLL_SECONDS))
        if self.requested:
            raise StopRequested
