"""Fixtures: routers as processes, and a stand-in for the gateways on the other side of their topics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from common.logs import configure_logs
from common.redis import connect_redis
from services.router.tests.outside import Outside, settings_for
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
    client = connect_redis(settings_for(isolation))
    await client.flushdb()
    yield client
    await client.aclose()
