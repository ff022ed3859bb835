"""An event loop on a manual clock that goes one turn when told to: a process of the simulation runs exactly when the world lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from common.clock import ManualClock

_MOST_TURNS = 60


class _NoSelector:
    """There are no files: what a process hears comes from the world, between its turns."""

    def select(self, _timeout: float | None) -> list[Any]:
        return []

    def close(self) -> None: ...


class Loop(asyncio.BaseEventLoop):
    """One process. `failures` has what its tasks raised."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._selector = _NoSelector()
        self._manual = clock
        self._owned: list[asyncio.Task[None]] = []
        self.failures: list[BaseException] = []

    def time(self) -> float:
        return self._manual.monotonic()

    def turn(self, times: int = 1) -> None:
        """Let everything that can go on do so, so many times."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()

    def own(self, work: Coroutine[Any, Any, None]) -> None:
        """A task that lives as long as the process."""
        task = self.create_task(work)
        task.add_done_callback(self._ended)
        self._owned.append(task)

    def kill(self) -> None:
        """End the process. Its clients must be cut off before: nothing that it does on its way out may be seen."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        for _ in range(_MOST_TURNS):
            if not asyncio.all_tasks(self):
                self.close()
                return
            self.turn()
        raise AssertionError(f"tasks that do not end: {asyncio.all_tasks(self)}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    # What `BaseEventLoop` leaves to those made of it.

    def _process_events(self, _events: list[Any]) -> None: ...

    def _write_to_self(self) -> None: ...
