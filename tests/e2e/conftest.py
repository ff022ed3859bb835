"""One running system for all end-to-end tests: auth, a router and two gateways; tests add processes with settings of their own."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Generator, Iterator

import httpx
import pytest

from tests.support.connect import Connect
from tests.support.fixtures import Isolation
from tests.support.kafka import delete_topics
from tests.support.producer import Producer
from tests.support.records import Records
from tests.support.servers import Servers
from tests.support.system import GatewayFactory, Service, System, SystemFactory, logs_of_open_systems


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the services said."""
    report = yield
    if report.failed:
        report.sections.extend(logs_of_open_systems())
    return report


@pytest.fixture(scope="session")
def new_system(
    servers: Servers, redis_databases: Iterator[int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SystemFactory]:
    """Makes systems with topics and a database of their own, in which nothing runs yet."""
    made: list[System] = []

    def make() -> System:
        part = Isolation(servers, f"e2e{secrets.token_hex(4)}-", next(redis_databases))
        environment = {**part.environment(), "SLOTS": "16", "API_KEY_PEPPER": "end-to-end", "LOG_FORMAT": "json"}
        made.append(System(environment, tmp_path_factory.mktemp("system")))
        return made[-1]

    yield make
    if servers.kind != "embedded":
        for system in made:
            delete_topics(servers.kafka, system.environment["TOPIC_PREFIX"])


@pytest.fixture(scope="session")
def system(new_system: SystemFactory) -> Iterator[System]:
    """The system that most tests share. It ends with status 0 everywhere, or the last test fails."""
    shared = new_system()
    try:
        shared.start_all(gateways=2, gateway_heartbeat_interval="1s")
        yield shared
    finally:
        shared.close()


@pytest.fixture
def own_system(new_system: SystemFactory) -> Iterator[System]:
    """A system for one test, in which nothing runs yet."""
    own = new_system()
    try:
        yield own
    finally:
        own.close()


@pytest.fixture(scope="module")
def gateway_with(system: System) -> Iterator[GatewayFactory]:
    """Starts gateways with other settings beside the shared ones, one for each set of settings; they end with the module."""
    started: dict[tuple[tuple[str, str], ...], Service] = {}

    def start(**settings: str) -> Service:
        name = tuple(sorted(settings.items()))
        if name not in started or not started[name].runs:
            started[name] = system.start_apart("gateway", **settings)
        return started[name]

    yield start
    for gateway in started.values():
        if gateway.runs:
            assert gateway.stop() == 0


@pytest.fixture
async def connect(system: System) -> AsyncIterator[Connect]:
    async with Connect(system) as connect:
        yield connect


@pytest.fixture
async def producer(system: System) -> AsyncIterator[Producer]:
    async with system.producer() as producer:
        yield producer


@pytest.fixture
async def records(system: System) -> AsyncIterator[Records]:
    async with system.records() as records:
        yield records


@pytest.fixture
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks HTTP to the first gateway."""
    async with httpx.AsyncClient(base_url=system.gateway.http, timeout=10) as client:
        yield client
