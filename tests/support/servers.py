"""A Kafka and a Redis for a test run, from where DEFISTREAM_TEST_SERVERS or the usual variables say.

| chosen by | servers |
|---|---|
| `KAFKA_BOOTSTRAP_SERVERS` and `REDIS_HOST` set | those |
| `DEFISTREAM_TEST_SERVERS=containers` | Apache Kafka and Valkey, by testcontainers |
| else | embedded: Tansu and Valkey out of their wheels |
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.local.ports import accepts, answers_ping, free_port
from deploy.local.processes import Command, start
from deploy.local.servers import FETCH_MAX_WAIT, tansu, valkey
from deploy.local.settings import HOST, Address, LocalError
from tests.support.waiting import wait_until

Kind = Literal["external", "embedded", "containers"]


class ServersUnavailable(Exception):
    """Why this machine cannot give the servers that were asked for."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the pair is, and what a service needs in its environment to use it."""

    kind: Kind
    kafka: str
    redis: Address
    redis_password: str | None = None

    def environment(self) -> dict[str, str]:
        """Variables for a service's process; empty ones shut out what the caller's own environment says."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "KAFKA_FETCH_MAX_WAIT": FETCH_MAX_WAIT if self.kind == "embedded" else "",
            "REDIS_HOST": self.redis.host,
            "REDIS_PORT": str(self.redis.port),
            "REDIS_PASSWORD": self.redis_password or "",
        }


@contextlib.contextmanager
def open_servers(
    logs: Path, environment: Mapping[str, str] = os.environ, *, on_host: bool = False
) -> Iterator[Servers]:
    """The pair that the environment asks for; gone afterwards unless it was there before. Raises ServersUnavailable.

    `on_host`: containers without a network of their own, where Docker can.
    """
    if environment.get("KAFKA_BOOTSTRAP_SERVERS") and environment.get("REDIS_HOST"):
        yield _external(environment)
        return
    if environment.get("DEFISTREAM_TEST_SERVERS", "embedded") == "containers":
        # Imported here, for it needs Docker's client, and the other tiers do not.
        from tests.support.containers import containers  # noqa: PLC0415

        with containers(on_host=on_host) as (kafka, redis):
            yield Servers("containers", kafka, redis)
        return
    with _embedded(logs) as servers:
        yield servers


def _external(environment: Mapping[str, str]) -> Servers:
    kafka, redis = (
        environment["KAFKA_BOOTSTRAP_SERVERS"],
        Address(environment["REDIS_HOST"], int(environment.get("REDIS_PORT") or 6379)),
    )
    host, _, port = kafka.split(",")[0].rpartition(":")
    for name, address in (("KAFKA_BOOTSTRAP_SERVERS", Address(host, int(port))), ("REDIS_HOST", redis)):
        if not accepts(address):
            raise ServersUnavailable(f"nothing answers at {address} ({name})")
    return Servers("external", kafka, redis, environment.get("REDIS_PASSWORD") or None)


@contextlib.contextmanager
def _embedded(logs: Path) -> Iterator[Servers]:
    kafka, redis = Address(HOST, free_port()), Address(HOST, free_port())
    try:
        commands = (tansu(kafka.port), valkey(redis.port))
    except LocalError as error:
        raise ServersUnavailable(str(error)) from error
    with contextlib.ExitStack() as stack:
        for command in commands:
            stack.enter_context(_running(command, logs))
        wait_until(lambda: accepts(kafka) and answers_ping(redis), "the embedded servers answer", limit=20)
        yield Servers("embedded", str(kafka), redis)


@contextlib.contextmanager
def _running(command: Command, logs: Path) -> Iterator[None]:
    child = start(command, logs / f"{command.name}.log")
    try:
        yield
    finally:
        child.stop()
