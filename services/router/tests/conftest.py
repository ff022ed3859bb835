"""Fixtures: routers as processes, and a stand-in for the gateways on the other side of their topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis.asyncio as redis

from common.logs import configure_logs
from services.router.tests.outside import Outside
from tests.support.fixtures import Isolation
from tests.support.system import System

configure_logs("tests", level="WARNING", form="console")


@pytest.fixture(scope="module")
def system(isolation: Isolation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Router processes on topics and a database of this module's own; all are ended afterwards."""
    settings = {
        "ROUTER_REAPER_GRACE": "1s",
        "ROUTER_BRIDGE_LEASE": "1s",
        "SLOTS": "8",
        "API_KEY_PEPPER": "pepper",
    }
    system = System({**isolation.environment(), **settings}, tmp_path_factory.mktemp("logs"))
    try:
        yield system
    finally:
        system.close()


@pytest.fixture
async def outside(isolation: Isolation) -> AsyncIterator[Outside]:
    """Producers, gateways and people, as far as a router can see them."""
    async with Outside(isolation, slots=8) as outside:
        yield outside


@pytest.fixture
async def store(isolation: Isolation) -> AsyncIterator[Any]:
    """A client of an empty Redis database."""
    servers = isolation.servers
    client = redis.Redis(
        host=servers.redis.host,
        port=servers.redis.port,
        db=isolation.redis_db,
        password=servers.redis_password,
        decode_responses=True,
        encoding_errors="surrogateescape",
    )
    await client.flushdb()
    yield client
    await client.aclose()
