"""Endings that take no longer than they may: a broker that is away, or in the middle of a rebalance, must not hold a process up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

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
