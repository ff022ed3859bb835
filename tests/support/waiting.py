"""Waiting for a condition, with a limit: what tests do in place of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], what: str, *, limit: float = 10.0) -> None:
    """Return when the condition holds. AssertionError says what did not come within `limit` seconds."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not within {limit} s: {what}"
        time.sleep(POLL_SECONDS)


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, *, limit: float = 10.0) -> None:
    """The same for a condition that is awaited."""
    until = time.monotonic() + limit
    while not await condition():
        assert time.monotonic() < until, f"not within {limit} s: {what}"
        await asyncio.sleep(POLL_SECONDS)
