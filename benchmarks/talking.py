"""Processes that take orders by lines on their standard input and answer each with one line of JSON, pinned to a core where that helps."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.native import built
from benchmarks.processes import cpu_seconds, family

SERVER_CORE, READER_CORE = 0, 1
_MOST_ANSWER_BYTES = 64 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[1]


def pinned(arguments: Sequence[str | Path], core: int | None) -> list[str]:
    """The command on one core alone; as it is where this machine has only one, or no `taskset`."""
    command = [str(each) for each in arguments]
    if core is None or shutil.which("taskset") is None or core not in os.sched_getaffinity(0):
        return command
    return ["taskset", "-c", str(core), *command]


class Talking:
    """Such a process, as a context. `hello` is what it said first."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
        says_hello: bool = True,
    ) -> None:
        self.name = name
        self.hello: dict[str, Any] = {}
        self._command = pinned(arguments, core)
        self._environment = {**os.environ, **(environment or {})}
        self._says_hello = says_hello
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, env=self._environment, limit=_MOST_ANSWER_BYTES, cwd=ROOT
        )
        if self._says_hello:
            async with asyncio.timeout(60):
                self.hello = await self._answer()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.hello["port"])

    async def order(self, *fields: object) -> dict[str, Any]:
        """The answer. RuntimeError when the process has ended instead."""
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(map(str, fields)).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; it may say why above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    # What it takes ---------------------------------------------------------------------------------------------------

    def resident_bytes(self) -> int:
        """Of the process and its children: a program may serve by workers."""
        return sum(process.memory_info().rss for process in family(self.pid))

    def cpu_seconds(self) -> float:
        """User and system, of the process and its children."""
        return cpu_seconds(self.pid)


def python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


class Reader(Talking):
    """`native/reader.c`, connected to one server."""

    def __init__(self, port: int, *modes: str, core: int | None = READER_CORE) -> None:
        super().__init__("reader", (built("reader"), "127.0.0.1", str(port), *modes), core=core, says_hello=False)

    async def open(
        self,
        sockets: int,
        *,
        path: str,
        steps: Sequence[tuple[str, str]] = (),
        rooms: int = 1,
        keys: Path | None = None,
        at_once: int = 64,
        limit: float = 120.0,
    ) -> dict[str, Any]:
        """Open sockets. `steps`: what each sends once it is open, and what the answer to it has in it; either may be empty.

        RuntimeError when one fails.
        """
        flat = [part for step in steps for part in step]
        answer = await self.order("open", sockets, at_once, limit, rooms, path, keys or "-", *flat)
        if answer["failed"]:
            raise RuntimeError(f"{answer['failed']} of {sockets} sockets did not open: {answer['error']}")
        return answer

    async def wait(self, updates: int, limit: float) -> dict[str, Any]:
        """What came since the last reset, once it is so many updates, or after `limit` seconds."""
        return await self.order("wait", updates, limit)
