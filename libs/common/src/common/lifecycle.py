"""How a service starts, waits for what it needs, and ends: SIGTERM and SIGINT drain it, a second one stops it at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import NoReturn, TypeVar

import uvloop

from common.backoff import Backoff
from common.errors import StartupError
from common.logs import describe, get_logger

T = TypeVar("T")
log = get_logger("lifecycle")

EXIT_SETTINGS = 2


class Stopping(Exception):
    """The process was asked to end while it waited."""


def run_service(main: Callable[[asyncio.Event], Awaitable[None]], *, at_once: Callable[[], None] | None = None) -> None:
    """Run `main(stop)` on uvloop until it returns; `stop` is set by SIGTERM or SIGINT. Exits 0 when drained, 2 on a `StartupError`.

    `at_once` is called when a second signal ends the process.
    """
    failure: StartupError | None = None
    try:
        uvloop.run(_with_signals(main, at_once))
    except* Stopping:
        pass
    except* StartupError as group:
        failure = _first(group)
    if failure is not None:
        exit_with(failure)


def _first(group: BaseExceptionGroup[StartupError]) -> StartupError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def exit_with(error: StartupError) -> NoReturn:
    """One line for the operator, no traceback."""
    program = PurePath(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    print(f"{name}: {error}", file=sys.stderr)
    sys.exit(EXIT_SETTINGS)


def collect_garbage_seldom() -> None:
    """Keep full collections rare; call when the process is set up. For services that hold many long-lived objects.

    With Python's thresholds (700, 10, 10) the collections over 10,000 connections took the 95th percentile of deliveries from 25 ms to 120
    (`benchmarks/acceptance.py`). What is dropped often must therefore be no cycle.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 200)


def stop_with_parent(stop: asyncio.Event) -> None:
    """Set `stop` when the other end of standard input is closed: the process that started this one, and keeps it open, is gone."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def closed() -> None:
        loop.remove_reader(stdin)
        stop.set()

    loop.add_reader(stdin, closed)


async def _with_signals(main: Callable[[asyncio.Event], Awaitable[None]], at_once: Callable[[], None] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            log.warning("stopped_at_once")
            if at_once is not None:
                at_once()
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    await main(stop)


async def wait_for(
    what: str,
    attempt: Callable[[], Awaitable[T]],
    *,
    errors: tuple[type[Exception], ...],
    stop: asyncio.Event,
    backoff: Backoff | None = None,
) -> T:
    """The result of `attempt`, tried again until it succeeds; what is waited for is said once, and once more when it is there.

    Raises `Stopping` as soon as `stop` is set; an attempt that goes on is cancelled.
    """
    backoff = backoff or Backoff()
    waited = False
    while True:
        try:
            result = await _unless_stopped(attempt(), stop)
        except errors as error:
            if not waited:
                log.warning("waiting_for", what=what, **describe(error))
            waited = True
            await pause(backoff.next(), stop)
        else:
            if waited:
                log.info("available", what=what)
            return result


async def _unless_stopped(attempt: Awaitable[T], stop: asyncio.Event) -> T:
    trying, stopping = asyncio.ensure_future(attempt), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((trying, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not trying.done():
            raise Stopping
        return trying.result()
    finally:
        trying.cancel()
        stopping.cancel()
        await asyncio.gather(trying, stopping, return_exceptions=True)


async def pause(duration: float, stop: asyncio.Event) -> None:
    """Wait `duration` seconds. Raises `Stopping` as soon as `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(duration):
            await stop.wait()
    if stop.is_set():
        raise Stopping


async def until_stopped(stop: asyncio.Event, *work: Awaitable[None]) -> None:
    """Run `work` until `stop` is set, then cancel it. The first failure of any ends the others and is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(each)) for each in work]
        await stop.wait()
        for task in tasks:
            task.cancel()


async def _run(work: Awaitable[None]) -> None:
    await work
