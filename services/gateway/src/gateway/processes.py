"""Several gateways of one machine on one port, one a core: starts them, starts anew what ends, ends them all. `--processes N`.

    started -- ended by itself --> pause, longer after each short life --> started
       |    \\-- refused its settings --> all are ended, status 2
       +-- stop --> SIGTERM: it drains --> ended

Each is a gateway of its own, with a slot of its own; the kernel spreads new connections over those that listen (SO_REUSEPORT). The children
hold the other end of a pipe that this process keeps open: they drain when it is gone, however it went.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from common.backoff import Backoff
from common.clock import Clock
from common.lifecycle import EXIT_SETTINGS, Stopping, pause
from common.logs import get_logger

log = get_logger("processes")

LONG_LIFE_SECONDS = 60.0
"""Who lived this long is started anew without delay, as if it had never failed."""
_DRAINED = (0, -signal.SIGTERM)
"""A process that is asked to end before it can drain has nothing to drain."""


class Processes:
    """`command(n)`: what starts process `n`, counted from 0. `limit`: seconds that each may take to drain."""

    def __init__(self, count: int, command: Callable[[int], Sequence[str]], clock: Clock, *, limit: float) -> None:
        self._count = count
        self._command = command
        self._clock = clock
        self._limit = limit
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def run(self, stop: asyncio.Event) -> int:
        """Keep them running until `stop` is set, or one refuses to start; then drain all. Returns the exit status: 0 when all drained."""
        async with asyncio.TaskGroup() as group:
            keeping = [group.create_task(self._keep(number, stop)) for number in range(self._count)]
        statuses = [task.result() for task in keeping]
        if EXIT_SETTINGS in statuses:
            return EXIT_SETTINGS
        return 0 if all(status in _DRAINED for status in statuses) else 1

    def kill(self) -> None:
        """End them at once."""
        for process in self._running.values():
            process.kill()

    async def _keep(self, number: int, stop: asyncio.Event) -> int:
        """The status that process `number` ended with when it was not to be started again."""
        backoff = Backoff()
        while True:
            started = self._clock.monotonic()
            status = await self._live(number, stop)
            if status == EXIT_SETTINGS:
                # It has said why; the others cannot be right either.
                stop.set()
            if stop.is_set():
                return status
            if self._clock.monotonic() - started >= LONG_LIFE_SECONDS:
                backoff.reset()
            log.warning("process_ended", process=number, status=status)
            try:
                await pause(backoff.next(), stop)
            except Stopping:
                return 0

    async def _live(self, number: int, stop: asyncio.Event) -> int:
        """Run the process to its end, or to that of its drain when `stop` is set; its exit status."""
        process = self._running[number] = await asyncio.create_subprocess_exec(
            *self._command(number),
            stdin=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal goes to the whole group: it must come once, and from here.
            start_new_session=True,
        )
        log.info("process_started", process=number, pid=process.pid)
        ended, stopping = asyncio.ensure_future(process.wait()), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._drain(process, ended)
            return await ended
        finally:
            stopping.cancel()
            del self._running[number]

    async def _drain(self, process: asyncio.subprocess.Process, ended: asyncio.Future[int]) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait((ended,), timeout=self._limit)
        if not ended.done():
            log.warning("process_not_drained", pid=process.pid, limit_seconds=self._limit)
            process.kill()
