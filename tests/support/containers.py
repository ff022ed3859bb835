"""Apache Kafka and Valkey in containers, reachable on loopback only.

Their ports are published there; or, for measurements on Linux, the containers share the host's network: Docker's proxy takes a tenth of a
core for 250 updates/s, and is no part of what a user runs beside the services.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from deploy.local.ports import answers_ping, free_port
from deploy.local.servers import REDIS_DATABASES
from deploy.local.settings import HOST, Address
from tests.support.kafka import answers_kafka
from tests.support.servers import ServersUnavailable
from tests.support.waiting import wait_until

# Our containers end with the fixture; the reaper's image is one more to fetch.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

KAFKA_IMAGE = "apache/kafka:4.1.0"
VALKEY_IMAGE = "valkey/valkey:8.1"


@contextlib.contextmanager
def containers(*, on_host: bool = False) -> Iterator[tuple[str, Address]]:
    """Both servers, answering; `on_host`: without a network of their own, on Linux. Raises ServersUnavailable without Docker."""
    kafka, redis = Address(HOST, free_port()), Address(HOST, free_port())
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(kafka_container(kafka, on_host=on_host))
            stack.enter_context(valkey_container(redis, on_host=on_host))
        except DockerException as error:
            raise ServersUnavailable(f"Docker does not start containers: {error}") from error
        wait_until(lambda: answers_ping(redis), "Valkey answers", limit=60)
        wait_until(lambda: answers_kafka(str(kafka)), "Kafka answers", limit=90)
        yield str(kafka), redis


def kafka_container(address: Address, *, on_host: bool = False) -> DockerContainer:
    """A broker and controller in one, which tells its clients the address."""
    container, own = _reachable(DockerContainer(KAFKA_IMAGE), 9092, address, on_host=on_host)
    controller = Address(HOST, free_port() if on_host else 9093)
    return container.with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_CONTROLLER_QUORUM_VOTERS=f"1@{controller}",
        KAFKA_LISTENERS=f"PLAINTEXT://{own},CONTROLLER://{controller}",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{address}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
    )


def valkey_container(address: Address, *, on_host: bool = False) -> DockerContainer:
    """A Valkey without persistence."""
    container, own = _reachable(DockerContainer(VALKEY_IMAGE), 6379, address, on_host=on_host)
    options = ("--bind", own.host, "--port", str(own.port), "--protected-mode", "no", "--save", "")
    return container.with_command(["valkey-server", *options, "--databases", str(REDIS_DATABASES)])


def _reachable(
    container: DockerContainer, port: int, address: Address, *, on_host: bool
) -> tuple[DockerContainer, Address]:
    """The container, to be reached at `address`, and the address at which its server is to listen."""
    if on_host and sys.platform == "linux":
        return container.with_kwargs(network_mode="host"), address
    return _published(container, port, address), Address("0.0.0.0", port)


def _published(container: DockerContainer, port: int, address: Address) -> DockerContainer:
    # Docker's client takes a pair of address and port; testcontainers declares a port alone, which means all addresses.
    container.ports[f"{port}/tcp"] = (address.host, address.port)  # type: ignore[assignment]
    return container
