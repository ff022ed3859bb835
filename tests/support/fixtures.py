"""The fixtures that every test folder may use: `servers`, one pair a run, `isolation`, a part of it for one module, and `admin`."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
import redis
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.kafka import delete_topics
from tests.support.servers import Servers, ServersUnavailable, open_servers


@dataclass(frozen=True, slots=True)
class Isolation:
    """A topic prefix and a Redis database that no other test module uses."""

    servers: Servers
    topic_prefix: str
    redis_db: int

    def environment(self) -> dict[str, str]:
        """Variables for a service's process."""
        return {**self.servers.environment(), "TOPIC_PREFIX": self.topic_prefix, "REDIS_DB": str(self.redis_db)}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need servers, so that a tier can pick them."""
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")


def unavailable(reason: str) -> None:
    """Skip on a laptop, fail in CI: a tier that cannot run must not look green there."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Kafka and a Redis for the whole run."""
    try:
        with open_servers(tmp_path_factory.mktemp("servers")) as opened:
            yield opened
    except ServersUnavailable as reason:
        unavailable(str(reason))


@pytest.fixture(scope="session")
def redis_databases(servers: Servers) -> Iterator[int]:
    """Database numbers that were empty when drawn. Database 0 is left to people."""
    return (number for number in itertools.count(1) if _size(servers, number) == 0)


@pytest.fixture(scope="module")
def isolation(servers: Servers, redis_databases: Iterator[int]) -> Iterator[Isolation]:
    """Names of its own for this module; what it leaves is removed afterwards."""
    part = Isolation(servers, f"t{secrets.token_hex(4)}-", next(redis_databases))
    yield part
    with _client(servers, part.redis_db) as client:
        client.flushdb()
    if servers.kind != "embedded":
        delete_topics(servers.kafka, part.topic_prefix)


@pytest.fixture
async def admin(servers: Servers) -> AsyncIterator[AIOKafkaAdminClient]:
    """For what others do to topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def _size(servers: Servers, number: int) -> int:
    with _client(servers, number) as client:
        return int(client.dbsize())


def _client(servers: Servers, number: int) -> redis.Redis:
    return redis.Redis(servers.redis.host, servers.redis.port, number, servers.redis_password)
