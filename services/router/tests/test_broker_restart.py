"""A broker that is restarted under a router: what was acknowledged before and after is delivered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from aiokafka.errors import KafkaError

from deploy.local.ports import free_port
from deploy.local.settings import HOST, Address
from services.router.tests.outside import Outside
from tests.support.fixtures import Isolation
from tests.support.kafka import answers_kafka
from tests.support.servers import Servers
from tests.support.system import System
from tests.support.waiting import eventually, wait_until

pytestmark = pytest.mark.containers


@pytest.fixture(scope="module")
def broker(servers: Servers):
    # Imported here, for it needs Docker's client.
    from tests.support.containers import kafka_container  # noqa: PLC0415

    address = Address(HOST, free_port())
    with kafka_container(address) as container:
        wait_until(lambda: answers_kafka(str(address)), "the broker answers", limit=90)
        yield address, container.get_wrapped_container()


async def test_updates_acknowledged_before_and_after_a_broker_restart_are_delivered(
    servers: Servers, broker, isolation: Isolation, tmp_path
):
    address, container = broker
    isolation = replace(isolation, servers=replace(servers, kind="containers", kafka=str(address)))
    system = System({**isolation.environment(), "SLOTS": "8"}, tmp_path)
    router = system.start("router")
    async with Outside(isolation, slots=8) as outside:
        gateway = await outside.gateway(1)
        await gateway.activated("prices")
        sent: list[str] = []
        producing = asyncio.create_task(_produce(outside, sent))
        await _grows(sent, 30)
        await asyncio.to_thread(container.restart, timeout=5)
        await _grows(sent, 100, limit=90)
        producing.cancel()
        await gateway.until(lambda g: set(sent) <= {b["id"] for b in g.bodies()}, "all are delivered", limit=60)
        assert router.runs
    system.close()


async def _produce(outside: Outside, sent: list[str]) -> None:
    number = 0
    while True:
        number += 1
        try:
            sent.append(
                await outside.publish(
                    "prices", {"type": "price_update", "tokenId": f"t{number % 9}", "at": time.time()}
                )
            )
        except KafkaError:
            continue
        await asyncio.sleep(0.02)


async def _grows(sent: list[str], by: int, *, limit: float = 30) -> None:
    enough = len(sent) + by

    async def there() -> bool:
        return len(sent) >= enough

    await eventually(there, f"{by} more updates are produced", limit=limit)
