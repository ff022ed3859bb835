"""Several processes are kept running, and ended together: small programs stand for gateways."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.lifecycle import EXIT_SETTINGS
from gateway.processes import Processes
from tests.support.waiting import eventually

DRAINS = """
import os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(sys.argv[1], f"{sys.argv[2]}-{os.getpid()}").touch()
signal.pause()
"""
"""Says that it runs, and ends well when asked."""

STAYS = DRAINS.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
REFUSES = f"import sys; sys.exit({EXIT_SETTINGS})"


class Started:
    def __init__(self, folder: Path, programs: tuple[str, ...], *, limit: float) -> None:
        self._folder = folder
        self.stop = asyncio.Event()
        self.processes = Processes(
            len(programs),
            lambda number: (sys.executable, "-c", programs[number], str(folder), str(number)),
            SystemClock(),
            limit=limit,
        )
        self.ending = asyncio.ensure_future(self.processes.run(self.stop))

    def pids(self, number: int) -> list[int]:
        """Of all that ran under this number so far."""
        return [int(path.name.partition("-")[2]) for path in self._folder.glob(f"{number}-*")]

    async def run(self, number: int, times: int = 1) -> None:
        """Return when so many have run under the number."""

        async def ran() -> bool:
            return len(self.pids(number)) == times

        await eventually(ran, f"process {number} runs for the {times}. time")

    async def status(self) -> int:
        async with asyncio.timeout(20):
            return await self.ending


@contextlib.asynccontextmanager
async def started(folder: Path, *programs: str, limit: float = 10.0) -> AsyncIterator[Started]:
    running = Started(folder, programs, limit=limit)
    try:
        yield running
    finally:
        running.processes.kill()
        running.stop.set()
        await running.ending


async def test_all_drain_when_asked(tmp_path):
    async with started(tmp_path, DRAINS, DRAINS) as running:
        await running.run(0)
        await running.run(1)
        running.stop.set()
        assert await running.status() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_ends_is_started_anew_and_the_others_stay(tmp_path, number):
    async with started(tmp_path, DRAINS, DRAINS) as running:
        await running.run(0)
        await running.run(1)
        os.kill(running.pids(1)[0], number)
        await running.run(1, times=2)
        assert len(running.pids(0)) == 1
        running.stop.set()
        assert await running.status() == 0


async def test_one_that_refuses_its_settings_ends_all(tmp_path):
    async with started(tmp_path, DRAINS, REFUSES) as running:
        assert await running.status() == EXIT_SETTINGS


async def test_one_that_does_not_drain_in_time_is_killed_and_said_so_by_the_status(tmp_path):
    async with started(tmp_path, DRAINS, STAYS, limit=0.2) as running:
        await running.run(0)
        await running.run(1)
        running.stop.set()
        assert await running.status() == 1


async def test_who_is_asked_while_one_waits_to_be_started_anew_ends_well(tmp_path):
    async with started(tmp_path, DRAINS, "") as running:
        await running.run(0)
        running.stop.set()
        assert await running.status() == 0
