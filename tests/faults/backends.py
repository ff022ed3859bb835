"""The Kafka and the Redis of a run, and for each service process a way of its own to both, which can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local.ports import answers_ping, free_port
from deploy.local.servers import REDIS_DATABASES
from deploy.local.settings import HOST, Address
from tests.faults.links import Link

from tests.support.containers import (  # isort: skip - sets a variable that Docker's client reads
    VALKEY_IMAGE,
    _published,
    kafka_container,
)
from testcontainers.core.container import DockerContainer

from tests.support.kafka import answers_kafka
from tests.support.servers import Servers, open_servers
from tests.support.waiting import wait_until

PROCESSES = ("auth", "gateway-0", "gateway-1", "router-0", "router-1", "router-2")
"""Each has a listener of the broker to itself, for a broker tells its clients where to connect."""

FIRST_LISTENER = 9100
STOP_SECONDS = 10
START_SECONDS = 300.0
"""Long, for a busy machine: how soon a broker starts is not what is tested."""


@dataclass(slots=True)
class Backends:
    """`kafka` and `redis` are direct ways, for the harness. Without `kafka_links` services reach the broker directly."""

    servers: Servers
    redis_links: Mapping[str, Link]
    kafka_links: Mapping[str, Link] = field(default_factory=dict)
    kafka_container: DockerContainer | None = None
    redis_container: DockerContainer | None = None

    @property
    def kafka(self) -> str:
        return self.servers.kafka

    def environment(self, process: str) -> dict[str, str]:
        """Settings of one process, in lower case: where it finds both servers."""
        redis = self.redis_links[process].address
        kafka = self.kafka_links[process].address if self.kafka_links else self.kafka
        return {"kafka_bootstrap_servers": str(kafka), "redis_host": redis.host, "redis_port": str(redis.port)}

    async def restart(self, container: DockerContainer, *, kill: bool, away: float) -> None:
        """End a server, by SIGTERM or SIGKILL, and start it again after a while. Its data stays."""
        wrapped: Any = container.get_wrapped_container()
        if kill:
            await asyncio.to_thread(wrapped.kill)
        else:
            await asyncio.to_thread(wrapped.stop, timeout=STOP_SECONDS)
        await asyncio.sleep(away)
        await asyncio.to_thread(wrapped.start)
        await asyncio.to_thread(self.wait)

    def wait(self) -> None:
        """Return when both answer."""
        wait_until(lambda: answers_ping(self.servers.redis), "Redis answers", limit=START_SECONDS)
        wait_until(lambda: answers_kafka(self.kafka), "Kafka answers", limit=START_SECONDS)


@contextlib.asynccontextmanager
async def open_backends(*, containers: bool, logs: Path) -> AsyncIterator[Backends]:
    """Containers, or what `tests.support.servers` finds (given addresses, else embedded ones); gone afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        if containers:
            backends = await asyncio.to_thread(_containers, stack)
        else:
            servers = stack.enter_context(open_servers(logs))
            backends = Backends(servers, _links("redis", dict.fromkeys(PROCESSES, servers.redis)))
        for link in (*backends.redis_links.values(), *backends.kafka_links.values()):
            await link.open()
            stack.push_async_callback(link.close)
        yield backends


def _containers(stack: contextlib.AsyncExitStack) -> Backends:
    kafka, redis = Address(HOST, free_port()), Address(HOST, free_port())
    published = {process: Address(HOST, free_port()) for process in PROCESSES}
    links = _links("kafka", published)
    broker = stack.enter_context(_broker(kafka, published, links))
    store = stack.enter_context(_store(redis))
    backends = Backends(
        Servers("containers", str(kafka), redis),
        _links("redis", dict.fromkeys(PROCESSES, redis)),
        links,
        kafka_container=broker,
        redis_container=store,
    )
    backends.wait()
    return backends


def _links(kind: str, targets: Mapping[str, Address]) -> dict[str, Link]:
    return {process: Link(f"{kind} of {process}", partial(_always, target)) for process, target in targets.items()}


def _always(target: Address) -> Address:
    return target


def _broker(direct: Address, published: Mapping[str, Address], links: Mapping[str, Link]) -> DockerContainer:
    names = {process: f"WAY{number}" for number, process in enumerate(PROCESSES)}
    ports = {process: FIRST_LISTENER + number for number, process in enumerate(PROCESSES)}
    listeners = [f"{names[each]}://:{ports[each]}" for each in PROCESSES]
    advertised = [f"{names[each]}://{links[each].address}" for each in PROCESSES]
    protocols = [f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *names.values())]
    container = kafka_container(direct)
    for process in PROCESSES:
        _published(container, ports[process], published[process])
    return container.with_envs(
        KAFKA_LISTENERS=",".join(["PLAINTEXT://:9092", "CONTROLLER://:9093", *listeners]),
        KAFKA_ADVERTISED_LISTENERS=",".join([f"PLAINTEXT://{direct}", *advertised]),
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=",".join(protocols),
        KAFKA_INTER_BROKER_LISTENER_NAME="PLAINTEXT",
    )


def _store(address: Address) -> DockerContainer:
    """A Valkey that keeps its data over a restart: keys live in it."""
    command = "valkey-server --bind 0.0.0.0 --protected-mode no --appendonly yes --appendfsync always --databases"
    return _published(DockerContainer(VALKEY_IMAGE), 6379, address).with_command(
        [*command.split(), str(REDIS_DATABASES)]
    )
