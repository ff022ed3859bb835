"""Two routers: they share the partitions, and whatever happens to one of them, no update is missing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from common.channels import Channel
from common.deliveries import OperatorMessage, Replayed, Routed
from services.router.tests.outside import FakeGateway, Outside
from tests.support.system import Service, System
from tests.support.waiting import eventually


@pytest.fixture
def routers(system: System):
    routers = [system.launch("router"), system.launch("router")]
    for router in routers:
        router.wait_ready()
    yield routers
    for router in routers:
        if router.runs:
            router.stop()


@asynccontextmanager
async def produced(outside: Outside) -> AsyncIterator[list[str]]:
    """Ids of acknowledged updates, one each 10 ms, over all partitions of prices, as long as the block lasts."""
    sent: list[str] = []

    async def produce() -> None:
        for number in itertools.count():
            update = {"type": "price_update", "tokenId": f"token-{number % 20}", "value": number}
            sent.append(await outside.publish("prices", update))
            await asyncio.sleep(0.01)

    producing = asyncio.create_task(produce())
    try:
        yield sent
    finally:
        producing.cancel()


async def grows(sent: list[str], by: int) -> None:
    enough = len(sent) + by

    async def there() -> bool:
        return len(sent) >= enough

    await eventually(there, f"{by} more updates are produced", limit=30)


async def delivered(gateway: FakeGateway, sent: list[str]) -> None:
    def all_there(g: FakeGateway) -> bool:
        return set(sent) <= {body["id"] for body in g.bodies()}

    await gateway.until(all_there, "every acknowledged update is delivered", limit=40)
    last: dict[tuple[int, int], int] = {}
    for segment, item in gateway.told:
        # Within a generation, in order and once.
        if isinstance(item, Routed | OperatorMessage | Replayed):
            source = (segment.partition, segment.generation)
            assert item.offset > last.get(source, -1)
            last[source] = item.offset


async def shares(routers: list[Service]) -> list[float]:
    return [router.count("router_partitions") for router in routers]


async def test_two_routers_share_the_partitions(routers: list[Service], outside: Outside):
    async def both() -> bool:
        first, second = await shares(routers)
        return first > 0 and second > 0 and first + second == len(Channel) * 4 + 1

    await eventually(both, "each owns some, and together all", limit=30)


async def test_a_router_that_is_told_to_leave_loses_nothing(routers: list[Service], outside: Outside):
    gateway = await outside.gateway(1)
    await gateway.activated("prices")
    async with produced(outside) as sent:
        await grows(sent, 50)
        assert routers[0].stop() == 0
        await grows(sent, 50)
    await delivered(gateway, sent)


async def test_a_router_that_is_killed_loses_nothing(routers: list[Service], outside: Outside):
    gateway = await outside.gateway(1)
    await gateway.activated("prices")
    async with produced(outside) as sent:
        await grows(sent, 50)
        routers[0].kill()
        await grows(sent, 50)
    await delivered(gateway, sent)


async def test_a_router_that_joins_and_one_that_stalls_lose_nothing(
    routers: list[Service], outside: Outside, system: System
):
    gateway = await outside.gateway(1)
    await gateway.activated("prices")
    async with produced(outside) as sent:
        await grows(sent, 20)
        routers[0].freeze()
        third = system.launch("router")
        await grows(sent, 50)
        third.wait_ready()
        routers[0].thaw()
        await grows(sent, 50)
    await delivered(gateway, sent)
    assert third.stop() == 0
