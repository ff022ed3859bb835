"""Routers that share the partitions."""

from __future__ import annotations

import asyncio

from tests.support.system import Service, System
from tests.support.waiting import eventually


async def two_routers(system: System) -> tuple[Service, Service]:
    """The routers, once both own partitions."""
    if len(system.running("router")) < 2:
        await system.start_meanwhile("router")
    first, second = system.running("router")

    async def both_own() -> bool:
        return all([await asyncio.to_thread(each.count, "router_partitions") > 0 for each in (first, second)])

    await eventually(both_own, "both routers own partitions", limit=30)
    return first, second
