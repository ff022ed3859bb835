"""What a benchmark runs beside itself: the load generator, and the CPU that everybody takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import psutil

MAX_ANSWER_BYTES = 64 * 1024 * 1024


class LoadProcess:
    """`benchmarks.load` in its own process; one order at a time."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._arguments = (sys.executable, "-m", "benchmarks.load", host, str(port), path)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments, stdin=pipe, stdout=pipe, limit=MAX_ANSWER_BYTES
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def order(self, what: str, **fields: Any) -> dict[str, Any]:
        """The answer; RuntimeError when the process has ended instead."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **fields}).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended while it should {what}; it says why above")
        answer: dict[str, Any] = json.loads(line)
        return answer


async def produce(bootstrap: str, topic: str, *, rate: float, seconds: float, tokens: int) -> dict[str, float]:
    """Run `benchmarks.producer`; what it printed."""
    arguments = (bootstrap, topic, str(rate), str(seconds), str(tokens))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.producer", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError("the producer failed; it says why above")
    answer: dict[str, float] = json.loads(output)
    return answer


def family(pid: int) -> list[psutil.Process]:
    """The process and those under it: a program may serve by workers. Raises psutil.NoSuchProcess when it has ended."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """User and system, of its family, and of those in it that have ended and were waited for."""
    total = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):  # a child that ended just now
            total += sum(process.cpu_times()[:4])
    return total


class CpuShares:
    """Shares of a core that processes, each with its family, take from one moment to another."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = dict(processes)
        self._at, self._taken = time.monotonic(), self._seconds()

    def since(self) -> dict[str, float]:
        """Since it was made, or asked last."""
        at, taken = self._at, self._taken
        self._at, self._taken = time.monotonic(), self._seconds()
        return {name: (self._taken[name] - taken[name]) / (self._at - at) for name in self._processes}

    def _seconds(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._processes.items()}


def servers_of_this_process() -> dict[str, int]:
    """The embedded servers that were started from here, by name; none where others are used."""
    names = {"tansu": "kafka", "valkey-server": "redis"}
    return {names[child.name()]: child.pid for child in psutil.Process().children() if child.name() in names}


def resident_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20
