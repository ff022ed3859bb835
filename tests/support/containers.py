"""Apache Kafka and Valkey in containers, published on loopback only."""

from __future__ import annotations

import contextlib
import os
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
def containers() -> Iterator[tuple[str, Address]]:
    """Both servers, answering. Raises ServersUnavailable where there is no Docker."""
    kafka, redis = Address(HOST, free_port()), Address(HOST, free_port())
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(kafka_container(kafka))
            stack.enter_context(valkey_container(redis))
        except DockerException as error:
            raise ServersUnavailable(f"Docker does not start containers: {error}") from error
        wait_until(lambda: answers_ping(redis), "Valkey answers", limit=60)
        wait_until(lambda: answers_kafka(str(kafka)), "Kafka answers", limit=90)
        yield str(kafka), redis


def kafka_container(address: Address) -> DockerContainer:
    """A broker and controller in one, which tells its clients the published address."""
    return _published(DockerContainer(KAFKA_IMAGE), 9092, address).with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{address}",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
    )


def valkey_container(address: Address) -> DockerContainer:
    """A Valkey without persistence."""
    command = [
        "valkey-server",
        "--bind",
        "0.0.0.0",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--databases",
        str(REDIS_DATABASES),
    ]
    return _published(DockerContainer(VALKEY_IMAGE), 6379, address).with_command(command)


def _published(container: DockerContainer, port: int, address: Address) -> DockerContainer:
    # Docker's client takes a pair of address and port; testcontainers declares a port alone, which means all addresses.
    container.ports[f"{port}/tcp"] = (address.host, address.port)  # type: ignore[assignment]
    return container
