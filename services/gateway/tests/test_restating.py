"""The comparison's rounds, where there is nothing to compare."""

from __future__ import annotations

import asyncio

from gateway.app import build
from services.gateway.tests.servers import settings_for


async def test_without_a_slot_a_redis_that_was_emptied_holds_nobody_up(isolation):
    gateway = build(settings_for(isolation))
    restating = gateway.tenancy.restating
    restating.emptied()
    running = asyncio.create_task(restating.run())
    try:
        # Each is a turn of the event loop, which never comes back from a wait that does not wait.
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()
    finally:
        running.cancel()
        await gateway.redis.aclose()
