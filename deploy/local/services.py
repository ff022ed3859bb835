"""The three services as commands, and what each says of its own readiness."""

from __future__ import annotations

import http.client
import json
import sys
from dataclasses import dataclass

from deploy.local.ports import free_port
from deploy.local.processes import Command
from deploy.local.servers import FETCH_MAX_WAIT
from deploy.local.settings import HOST, LocalSettings


@dataclass(frozen=True, slots=True)
class Service:
    """A command whose `/readyz` answers on a port."""

    command: Command
    port: int

    def missing(self) -> str | None:
        """What it still waits for, in its own words; None when it is ready."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace").strip()
        except (OSError, http.client.HTTPException):
            return "its process to come up"
        finally:
            connection.close()
        return None if answer.status == http.client.OK else _lacking(text)


def _lacking(text: str) -> str:
    """`kafka (Connection refused)` from the JSON body of a `/readyz` that is not ready; the body itself where it is none."""
    try:
        dependencies = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return text
    return ", ".join(f"{name} ({problem})" for name, problem in dependencies.items() if problem != "ok")


def environment(settings: LocalSettings) -> dict[str, str]:
    """Variables that all three share; what the user set besides (TOPIC_PREFIX, REDIS_DB, ...) is inherited."""
    shared = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka,
        "REDIS_HOST": settings.redis.host,
        "REDIS_PORT": str(settings.redis.port),
        "GATEWAY_PORT": str(settings.gateway_port),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.kafka_servers is None:
        shared["KAFKA_FETCH_MAX_WAIT"] = FETCH_MAX_WAIT
    return shared


def services(settings: LocalSettings) -> tuple[Service, ...]:
    """Auth, router and gateway, in the order in which they start."""
    shared = environment(settings)
    return (
        _service("auth", shared, free_port(9102)),
        _service("router", shared, free_port(9101)),
        Service(Command("gateway", (sys.executable, "-m", "gateway"), shared, stop_limit=15), settings.gateway_port),
    )


def replay(settings: LocalSettings) -> Command:
    """The player of the recordings."""
    return Command("replay", (sys.executable, "-m", "deploy.local.replay"), environment(settings))


def _service(name: str, shared: dict[str, str], port: int) -> Service:
    variables = {**shared, "METRICS_PORT": str(port)}
    return Service(Command(name, (sys.executable, "-m", name), variables, stop_limit=10), port)
