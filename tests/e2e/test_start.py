"""Starting without a broker or Redis: wait, say so once, go on when it comes. Starting with wrong settings: one line, status 2."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import Any

import pytest

from deploy.local.settings import HOST, Address
from tests.support.connect import Connect
from tests.support.forwarder import Forwarder
from tests.support.samples import unique, update
from tests.support.system import READY_SECONDS, Service, ServiceName, System
from tests.support.waiting import eventually

SERVICES: list[ServiceName] = ["gateway", "router", "auth"]


def _away(target: str) -> Forwarder:
    """A way to the server, closed at first."""
    host, _, port = target.split(",", maxsplit=1)[0].rpartition(":")
    return Forwarder(Address(host, int(port)))


@pytest.mark.parametrize("name", SERVICES)
async def test_service_started_without_its_broker_waits_says_so_once_and_goes_on_when_it_comes(
    name: ServiceName, own_system: System
):
    async with _away(own_system.environment["KAFKA_BOOTSTRAP_SERVERS"]) as forwarder:
        service = own_system.launch(name, kafka_bootstrap_servers=str(forwarder.address))
        await _waits_for(service, "kafka")
        await forwarder.open()
        await asyncio.to_thread(service.wait_ready)
    assert len(_waiting_lines(service, "kafka")) == 1


@pytest.mark.parametrize("name", SERVICES)
async def test_service_started_without_redis_waits_says_so_once_and_goes_on_when_it_comes(
    name: ServiceName, own_system: System
):
    given = own_system.environment
    async with _away(f"{given['REDIS_HOST']}:{given['REDIS_PORT']}") as forwarder:
        service = own_system.launch(name, redis_host=forwarder.address.host, redis_port=str(forwarder.address.port))
        await _waits_for(service, "redis")
        await forwarder.open()
        await asyncio.to_thread(service.wait_ready)
        assert len(_waiting_lines(service, "redis")) == 1
        assert await asyncio.to_thread(service.stop) == 0


@pytest.mark.parametrize("name", SERVICES)
async def test_service_that_waits_for_its_broker_ends_with_status_0_when_asked(name: ServiceName, own_system: System):
    async with _away(own_system.environment["KAFKA_BOOTSTRAP_SERVERS"]) as forwarder:
        service = own_system.launch(name, kafka_bootstrap_servers=str(forwarder.address))
        await _waits_for(service, "kafka")
        assert await asyncio.to_thread(service.stop) == 0


async def test_services_started_in_any_order_find_each_other(own_system: System):
    gateway = await own_system.start_meanwhile("gateway")
    await own_system.start_meanwhile("router")
    await own_system.start_meanwhile("auth")
    async with Connect(own_system) as connect, own_system.producer() as producer:
        client, token = await connect(gateway=gateway), unique("token")
        await client.subscribe("prices", {"tokenIds": [token]})
        await client.expect_updates(await producer.publish(update("prices", tokenId=token)))


async def _waits_for(service: Service, dependency: str) -> None:
    """Return when `/readyz` names the dependency as missing and the log says once that it is waited for."""

    async def waits() -> bool:
        assert service.runs, service.tail()
        readiness = await asyncio.to_thread(service.readiness)
        missing = readiness is not None and readiness["dependencies"][dependency] != "ok"
        return missing and bool(_waiting_lines(service, dependency))

    await eventually(waits, f"{service.name} waits for {dependency}", limit=READY_SECONDS)


def _waiting_lines(service: Service, dependency: str) -> list[dict[str, Any]]:
    return [
        line for line in service.log() if line["event"] == "waiting_for" and dependency in str(line["what"]).lower()
    ]


# Settings ------------------------------------------------------------------------------------------------------------

WRONG: list[tuple[ServiceName, str, str]] = [
    ("gateway", "GATEWAY_PORT", "eighty"),
    ("gateway", "GATEWAY_HEARTBEAT_INTERVAL", "soon"),
    ("gateway", "GATEWAY_MAX_CONNECTIONS", "0"),
    ("gateway", "TRUSTED_ADDRESSES", "everybody"),
    ("gateway", "GATEWAY_HEARTBEET_INTERVAL", "15s"),
    ("gateway", "GATEWAY_MAX_CONNECTIONS", "100000000"),
    ("gateway", "SLOTS", "many"),
    ("router", "ROUTER_UNHEARD_OF", "1"),
    ("router", "METRICS_PORT", "99999"),
    ("router", "REDIS_PORT", "redis"),
    ("router", "TOPIC_PREFIX", "no blanks"),
    ("auth", "AUTH_KEY_STORE", "ldap"),
    ("auth", "AUTH_CACHE_TTL", "-5"),
    ("auth", "AUTH_KEYSTORE", "redis"),
    ("auth", "LOG_LEVEL", "LOUD"),
    ("auth", "KAFKA_SECURITY_PROTOCOL", "TELEPATHY"),
]


@pytest.mark.parametrize(
    ("name", "variable", "value"), WRONG, ids=[f"{name}-{variable}-{value}" for name, variable, value in WRONG]
)
def test_wrong_setting_is_one_line_that_names_the_variable_and_status_2(
    name: ServiceName, variable: str, value: str, system: System
):
    status, lines = _run(name, system, **{variable: value})
    assert (status, len(lines)) == (2, 1), lines
    assert variable in lines[0]


@pytest.mark.parametrize(
    ("name", "variable"), [("gateway", "GATEWAY_PORT"), ("router", "METRICS_PORT"), ("auth", "METRICS_PORT")]
)
def test_port_that_is_taken_is_one_line_that_names_the_variable_and_status_2(
    name: ServiceName, variable: str, system: System
):
    with socket.create_server((HOST, 0)) as taken:
        status, lines = _run(name, system, **{variable: str(taken.getsockname()[1])})
    assert (status, len(lines)) == (2, 1), lines
    assert variable in lines[0]


def test_number_of_slots_that_the_topics_do_not_have_is_reported_and_status_2(system: System):
    status, lines = _run("gateway", system, SLOTS="64")
    assert status == 2
    assert lines[-1].find("SLOTS") >= 0


def _run(name: ServiceName, system: System, **variables: str) -> tuple[int, list[str]]:
    """Exit status of a service, and what it printed."""
    environment = {**system.child_environment, "GATEWAY_PORT": "0", "METRICS_PORT": "0", **variables}
    done = subprocess.run(
        (sys.executable, "-m", name), env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()
