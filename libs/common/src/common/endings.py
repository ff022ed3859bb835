"""Endings that take no longer than they may: a broker that is away, or in the middle of a rebalance, must not hold a process up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from common.kafka import KafkaError
from common.logs import get_logger

log = get_logger("endings")


async def end_within(limit: float, what: str, ending: Awaitable[object]) -> None:
    """Wait for `ending`, then give it up after `limit` seconds; what it fails with is of no use any more."""
    try:
        async with asyncio.timeout(limit):
            await ending
    except TimeoutError:
        log.info("given_up", what=what, after_seconds=limit)
    except KafkaError:
        return


class Endings:
    """What ends beside everything else, in tasks of their own. How each ends is nobody's concern."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, ending: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(ending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Cancel those that have not ended, and wait for that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
