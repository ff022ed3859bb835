"""What `make run` can be told by its environment, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


class LocalError(Exception):
    """Why the run cannot start or go on, as one sentence for the terminal."""


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Where things run. `kafka_servers` and `redis_server` are None where the run starts its own."""

    gateway_port: int
    kafka_port: int
    redis_port: int
    kafka_servers: str | None
    redis_server: Address | None
    demo_key: str | None
    replay: bool

    @property
    def kafka(self) -> str:
        """Bootstrap servers that the services use."""
        return self.kafka_servers or str(Address(HOST, self.kafka_port))

    @property
    def redis(self) -> Address:
        """The Redis that the services use."""
        return self.redis_server or Address(HOST, self.redis_port)

    @property
    def folder(self) -> Path:
        """Logs and state of this run; another run beside it has another gateway port, so another folder."""
        return ROOT / ".run" / str(self.gateway_port)


def read(environment: Mapping[str, str] = os.environ) -> LocalSettings:
    """Settings from the environment; LocalError names the variable that is wrong."""
    redis_host = environment.get("REDIS_HOST")
    return LocalSettings(
        gateway_port=_port(environment, "GATEWAY_PORT", 8080),
        kafka_port=_port(environment, "LOCAL_KAFKA_PORT", 9092),
        redis_port=_port(environment, "LOCAL_REDIS_PORT", 6379),
        kafka_servers=environment.get("KAFKA_BOOTSTRAP_SERVERS") or None,
        redis_server=Address(redis_host, _port(environment, "REDIS_PORT", 6379)) if redis_host else None,
        demo_key=environment.get("DEMO_API_KEY") or None,
        replay=_switch(environment, "REPLAY"),
    )


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise LocalError(f"{name}={text} is not a port: give a number from 1 to 65535")
    return int(text)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "on"
    if text not in {"on", "off"}:
        raise LocalError(f"{name}={text} is neither on nor off")
    return text == "on"
