"""The whole system, up once for this folder, with two gateways and two routers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from common.channels import Channel
from common.topics import Topics
from deploy.local.ports import free_port
from tests.compose.compose import Compose, find_program
from tests.support.fixtures import unavailable


@dataclass(frozen=True, slots=True)
class System:
    """What a client, a producer and an operator of the running system need."""

    compose: Compose
    port: int
    key: str

    def produce(self, token: str, price: float) -> None:
        """Write a price with Kafka's own console producer."""
        update = json.dumps({"type": "price_update", "tokenId": token, "value": price, "data": {"price": price}})
        producer = ("/opt/kafka/bin/kafka-console-producer.sh", "--bootstrap-server", "localhost:9092")
        options = (
            "--topic",
            Topics().updates(Channel.PRICES),
            "--property",
            "parse.key=true",
            "--property",
            "key.separator=|",
        )
        self.compose("exec", "-T", "kafka", *producer, *options, text=f"{token}|{update}\n")


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    program = find_program()
    if program is None:
        unavailable("docker-compose is not installed")
    assert program is not None
    port = free_port(8443)
    compose = Compose(program, {"HTTPS_PORT": str(port), "KAFKA_PORT": str(free_port(9094))})
    compose("down", "-v", "--remove-orphans")
    try:
        compose("build")
        compose("up", "-d", "--scale", "gateway=2", "--scale", "router=2")
        made = compose(
            "exec", "-T", "auth", "auth", "keys", "create", "--user", "compose", "--permission", "*", "--json"
        )
        yield System(compose, port, json.loads(made)["key"])
    finally:
        print(compose("logs", "--no-color", "--tail", "30"))
        compose("down", "-v", "--remove-orphans")
