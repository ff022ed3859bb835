"""Jobs: tasks that begin now and then, by key, all owned by one `run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Work = Callable[[], Coroutine[Any, Any, None]]


class Jobs(Generic[K]):
    """A job that raises ends `run`, and with it all others."""

    def __init__(self) -> None:
        self._new: dict[K, Work] = {}
        self._running: dict[K, asyncio.Task[None]] = {}
        self._work = asyncio.Event()

    def start(self, key: K, work: Work) -> None:
        """Begin it soon. One that is under this key is to be cancelled first, or to have ended."""
        self._new[key] = work
        self._work.set()

    def cancel_all(self) -> None:
        """They go no further than the await at which they are."""
        self._new.clear()
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._work.wait()
                self._work.clear()
                new, self._new = self._new, {}
                for key, work in new.items():
                    task = group.create_task(work())
                    self._running[key] = task
                    task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: K, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
