"""The service with an existing key system behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.auth.tests.asking import AskingGateway, asking_gateway
from services.auth.tests.key_system import KeySystem
from services.auth.tests.test_service import has_read, hash_of, record, revoke
from tests.support.system import Service, System
from tests.support.waiting import eventually


@pytest.fixture
async def key_system() -> AsyncIterator[KeySystem]:
    async with KeySystem().serving() as system:
        yield system


@pytest.fixture
async def service(system: System, key_system: KeySystem) -> AsyncIterator[Service]:
    service = system.launch(
        "auth",
        auth_key_store="http",
        auth_http_url=key_system.url + "/keys/{key_hash}",
        auth_http_header="Authorization: Bearer s3cret",
        auth_http_breaker_open="100ms",
    )
    await asyncio.to_thread(service.wait_ready)
    yield service
    key_system.hold.set()
    if service.runs:
        assert await asyncio.to_thread(service.stop) == 0
    assert "s3cret" not in service.output()
    assert key_system.url not in service.output()


@pytest.fixture
async def gateway(settings) -> AsyncIterator[AskingGateway]:
    async with asking_gateway(settings) as gateway:
        yield gateway


async def test_its_keys_are_allowed_and_each_is_asked_for_once(service, gateway, key_system):
    key_system.add(record("theirs"))
    decisions = await gateway.ask_all([hash_of("theirs")] * 20 + [hash_of("nobody's")])
    assert [decision.allowed for decision in decisions] == [True] * 20 + [False]
    assert len(key_system.asked) == 2
    assert {asked[2] for asked in key_system.asked} == {"Bearer s3cret"}


async def test_while_it_is_away_clients_are_told_to_try_again_and_later_served(service, gateway, key_system):
    key_system.status = 503
    decision = await gateway.ask(hash_of("back-soon"))
    assert (decision.allowed, decision.retryable) == (False, True)
    assert decision.reason.endswith("try again")
    key_system.status = None
    key_system.add(record("back-soon"))
    async with asyncio.timeout(10):
        while not (await gateway.ask(hash_of("back-soon"))).allowed:
            pass


async def test_a_key_revoked_while_it_is_asked_for_is_refused(service, gateway, key_system):
    key_system.add(record("in-flight"))
    key_system.hold.clear()
    read = await asyncio.to_thread(service.count, "auth_revocations_total")
    asked = await gateway.send(hash_of("in-flight"))
    async with asyncio.timeout(10):
        await key_system.open_calls(1)
    await revoke(gateway, hash_of("in-flight"))
    await has_read(service, read + 1)
    key_system.hold.set()
    decision = await asyncio.wait_for(asked, 10)
    assert (decision.allowed, decision.reason) == (False, "this API key was revoked")


async def test_a_request_in_hand_is_answered_before_it_ends(service, gateway, key_system):
    key_system.add(record("last"))
    key_system.hold.clear()
    asked = await gateway.send(hash_of("last"))
    async with asyncio.timeout(10):
        await key_system.open_calls(1)
    service.terminate()

    async def draining() -> bool:
        return any(line["event"] == "draining" for line in service.log())

    await eventually(draining, "the service drains")
    key_system.hold.set()
    assert (await asyncio.wait_for(asked, 10)).allowed
    assert await asyncio.to_thread(service.wait) == 0
