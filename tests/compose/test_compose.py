"""The system of docker-compose.yml, used from outside: console producer in, `wss` through HAProxy out."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess

import pytest

from tests.compose.client import Client, connected
from tests.compose.conftest import System

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

DRAINING = 4000


async def test_an_update_from_the_console_producer_reaches_a_client_over_tls(system: System) -> None:
    async with connected(system.port, system.key, "first") as client:
        await asyncio.to_thread(system.produce, "first", 1.5)
        update = await client.next("price_update")
    assert (update["tokenId"], update["data"], update["channel"]) == ("first", {"price": 1.5}, "prices")


async def test_haproxy_spreads_clients_over_both_gateways_and_each_gets_the_update(system: System) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(system.port, system.key, "spread")) for _ in range(4)]
        await asyncio.to_thread(system.produce, "spread", 2.5)
        updates = await asyncio.gather(*(client.next("price_update") for client in clients))
    assert {update["id"] for update in updates} == {updates[0]["id"]}
    assert len(system.compose.containers("gateway")) == 2


async def test_a_stopped_gateway_sends_its_clients_to_the_other_one(system: System) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(system.port, system.key, "moved")) for _ in range(4)]
        await stop(system, "gateway")
        codes = [await code_within_moments(client) for client in clients]
        assert DRAINING in codes, "none of the clients was on the stopped gateway"
        assert None in codes, "all of the clients were on the stopped gateway"
        async with connected(system.port, system.key, "moved") as again:
            await asyncio.to_thread(system.produce, "moved", 3.5)
            assert (await again.next("price_update"))["value"] == 3.5


async def test_updates_go_on_when_one_of_two_routers_is_stopped(system: System) -> None:
    async with connected(system.port, system.key, "rerouted") as client:
        await stop(system, "router")
        await asyncio.to_thread(system.produce, "rerouted", 4.5)
        assert (await client.next("price_update"))["value"] == 4.5


async def code_within_moments(client: Client) -> int | None:
    """The close code of a client whose gateway has gone; None for one that stays open."""
    try:
        async with asyncio.timeout(1):
            return await client.closed()
    except TimeoutError:
        return None


async def stop(system: System, service: str) -> None:
    """Stop one container of the service, as a rolling update does."""
    container = system.compose.containers(service)[0]
    await asyncio.to_thread(subprocess.run, ("docker", "stop", "-t", "60", container), check=True, capture_output=True)
