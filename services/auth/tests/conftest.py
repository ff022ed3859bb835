"""Fixtures: settings and a Redis client on servers of the run, and auth as processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from auth.settings import AuthSettings
from common.logs import configure_logs
from common.redis import Redis, connect_redis
from deploy.local.ports import free_port
from tests.support.fixtures import Isolation
from tests.support.system import System

configure_logs("tests", level="CRITICAL", form="console")

PEPPER = "pepper"


@pytest.fixture(scope="module")
def settings(isolation: Isolation) -> AuthSettings:
    """What an auth process of this module is given, as this process has it."""
    given = {name.lower(): value for name, value in isolation.environment().items() if value}
    return AuthSettings.model_validate({**given, "slots": 8, "api_key_pepper": PEPPER})


@pytest.fixture
async def redis(settings: AuthSettings) -> AsyncIterator[Redis]:
    """This module's database, empty."""
    client = connect_redis(settings)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def redis_away(settings: AuthSettings) -> AsyncIterator[Redis]:
    """A client whose Redis does not answer."""
    client = connect_redis(settings.model_copy(update={"redis_host": "127.0.0.1", "redis_port": free_port()}))
    yield client
    await client.aclose()


@pytest.fixture(scope="module")
def system(isolation: Isolation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Processes on topics and a database of this module's own; all are ended afterwards, and must end well."""
    system = System(
        {**isolation.environment(), "SLOTS": "8", "API_KEY_PEPPER": PEPPER}, tmp_path_factory.mktemp("logs")
    )
    try:
        yield system
    finally:
        system.close()
