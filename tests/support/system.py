"""Running services for tests that look at the product from the outside: real processes, started and ended one by one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import redis.asyncio as redis

from common.identifiers import hash_api_key
from deploy.local.ports import free_port
from deploy.local.processes import Child, Command, start
from deploy.local.settings import HOST
from tests.support.producer import Producer
from tests.support.records import Records
from tests.support.waiting import wait_until

READY_SECONDS = 40.0
STOP_SECONDS = 25.0
LOG_LINES = 60
KEY_ID_DIGITS = 12

ServiceName = Literal["gateway", "router", "auth"]
SERVICES: tuple[ServiceName, ...] = ("auth", "router", "gateway")
PORT_VARIABLES = {"gateway": "GATEWAY_PORT", "router": "METRICS_PORT", "auth": "METRICS_PORT"}


@dataclass(slots=True, eq=False)
class Service:
    """One service's process."""

    child: Child
    port: int
    apart: bool = False
    """Not one of those that `System.gateways` names: it has settings of its own."""

    @property
    def name(self) -> str:
        return self.child.name

    @property
    def pid(self) -> int:
        return self.child.process.pid

    @property
    def runs(self) -> bool:
        return self.child.ended() is None

    @property
    def http(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def realtime(self) -> str:
        """Where clients of this gateway connect."""
        return f"ws://{HOST}:{self.port}/v2/realtime"

    def log(self) -> list[dict[str, Any]]:
        """Its log lines; those that are no JSON (a traceback) are left out."""
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]

    def output(self) -> str:
        """All that it printed."""
        return self.child.log.read_text(errors="replace")

    def readiness(self) -> dict[str, Any] | None:
        """What `/readyz` says, None while nothing listens."""
        try:
            answer: dict[str, Any] = httpx.get(f"{self.http}/readyz", timeout=5).json()
        except httpx.TransportError:
            return None
        return answer

    def metrics(self) -> dict[str, float]:
        """What `/metrics` says: sample (with its labels, as written) -> value."""
        lines = httpx.get(f"{self.http}/metrics", timeout=5).text.splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def count(self, metric: str) -> float:
        """A metric, summed over its labels."""
        return sum(value for name, value in self.metrics().items() if name == metric or name.startswith(metric + "{"))

    def wait_ready(self, limit: float = READY_SECONDS) -> Service:
        """Return it when it can serve, `limit` seconds at most. AssertionError, with the end of its log, when it ends instead."""

        def ready() -> bool:
            assert self.runs, f"{self.name} ended with {self.child.ended()}:\n{self.tail()}"
            return (self.readiness() or {}).get("status") == "ready"

        try:
            wait_until(ready, f"{self.name} is ready", limit=limit)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {self.readiness()}\n{self.tail()}") from None
        return self

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.child.ask_to_stop()

    def stop(self) -> int:
        """SIGTERM; the exit status, once it has ended."""
        self.terminate()
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended by itself. AssertionError when it does not."""
        try:
            return self.child.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {STOP_SECONDS} s:\n{self.tail()}") from None

    def kill(self) -> None:
        """kill -9."""
        self.child.process.kill()
        self.child.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: alive, but doing nothing."""
        self.child.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)

    def tail(self) -> str:
        return "\n".join(self.output().splitlines()[-LOG_LINES:])


@dataclass(slots=True, eq=False)
class System:
    """Services on one topic prefix and one Redis database. `environment` is what all of them are given."""

    environment: Mapping[str, str]
    logs: Path
    services: list[Service] = field(default_factory=list)
    _keys: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _open_systems.append(self)

    # Processes -------------------------------------------------------------------------------------------------------

    def launch(self, name: ServiceName, *arguments: str, **settings: str) -> Service:
        """Start one more process of a service, and do not wait. Settings are variables in lower case: `slots="8"`."""
        return self._launch(name, settings, arguments)

    def start(self, name: ServiceName, **settings: str) -> Service:
        """Start one more process of a service; it is ready."""
        return self.launch(name, **settings).wait_ready()

    async def start_all_meanwhile(self) -> None:
        """Auth, a router and a gateway, while other tasks go on; all are ready."""
        for service in [self.launch(name) for name in SERVICES]:
            await asyncio.to_thread(service.wait_ready)

    async def start_meanwhile(self, name: ServiceName, **settings: str) -> Service:
        """The same, while other tasks go on. Only the waiting is another thread's: Linux ends a child with the thread that made it."""
        service = self.launch(name, **settings)
        return await asyncio.to_thread(service.wait_ready)

    def start_apart(self, name: ServiceName, **settings: str) -> Service:
        """The same, for a process with other settings, which `gateways` leaves out."""
        return self._launch(name, settings, apart=True).wait_ready()

    def start_all(self, *, gateways: int = 1, routers: int = 1, **gateway_settings: str) -> System:
        """Auth, routers and gateways at once; all are ready."""
        launched = [self.launch("auth"), *(self.launch("router") for _ in range(routers))]
        launched += [self.launch("gateway", **gateway_settings) for _ in range(gateways)]
        for service in launched:
            service.wait_ready()
        return self

    @property
    def child_environment(self) -> dict[str, str]:
        """All variables of a process that belongs to this system."""
        return {**os.environ, **self.environment}

    def running(self, name: ServiceName) -> list[Service]:
        return [service for service in self.services if service.name == name and service.runs]

    @property
    def gateway(self) -> Service:
        """The first of the gateways."""
        return self.gateways[0]

    @property
    def gateways(self) -> list[Service]:
        """Those that run and were not started apart."""
        return [service for service in self.running("gateway") if not service.apart]

    def close(self) -> None:
        """Stop all that still run, gateways first. AssertionError names those that did not end with status 0."""
        ending = [
            service
            for name in ("gateway", "router", "auth")
            for service in self.services
            if service.name == name and service.runs
        ]
        for service in ending:
            service.thaw()
            service.terminate()
        if self in _open_systems:
            _open_systems.remove(self)
        statuses = {f"{service.name} {service.pid}": service.wait() for service in ending}
        wrong = {name: status for name, status in statuses.items() if status != 0}
        assert not wrong, f"did not end with status 0: {wrong}"

    # Outsiders -------------------------------------------------------------------------------------------------------

    def producer(self) -> Producer:
        """Writes to this system's topics; use it as a context."""
        return Producer(self.environment["KAFKA_BOOTSTRAP_SERVERS"], self.environment["TOPIC_PREFIX"])

    def records(self) -> Records:
        """Reads this system's database; use it as a context."""
        given = self.environment
        client = redis.Redis(
            host=given["REDIS_HOST"],
            port=int(given["REDIS_PORT"]),
            db=int(given["REDIS_DB"]),
            password=given["REDIS_PASSWORD"] or None,
            decode_responses=True,
        )
        return Records(client)

    # Keys ------------------------------------------------------------------------------------------------------------

    def key(self, user: str = "alice", *permissions: str, options: tuple[str, ...] = ("--unlimited",)) -> str:
        """A key of this user, made by the command once; permissions are `*` where none are given."""
        given = tuple(part for permission in permissions or ("*",) for part in ("--permission", permission))
        arguments = ("--user", user, *given, *options)
        if arguments not in self._keys:
            self._keys[arguments] = self.new_key(*arguments)
        return self._keys[arguments]

    def new_key(self, *arguments: str) -> str:
        """A key that no other test has."""
        key: str = json.loads(self.auth("create", *arguments, "--json"))["key"]
        return key

    def revoke(self, key: str) -> None:
        """The key is revoked; it is named by the id that the command knows it by."""
        self.auth("revoke", hash_api_key(key, self.environment["API_KEY_PEPPER"])[:KEY_ID_DIGITS])

    def auth(self, *arguments: str) -> str:
        """What `auth keys ...` prints. AssertionError with its complaint when it fails."""
        program = Path(sys.executable).with_name("auth")
        done = subprocess.run(
            (program, "keys", *arguments),
            env=self.child_environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"auth keys {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def _launch(
        self, name: ServiceName, settings: Mapping[str, str], arguments: tuple[str, ...] = (), *, apart: bool = False
    ) -> Service:
        port = free_port()
        variables = {key.upper(): value for key, value in settings.items()}
        environment = {**self.environment, "PYTHONUNBUFFERED": "1", PORT_VARIABLES[name]: str(port), **variables}
        log = self.logs / f"{name}-{len(self.services)}.log"
        service = Service(start(Command(name, (sys.executable, "-m", name, *arguments), environment), log), port, apart)
        self.services.append(service)
        return service


SystemFactory = Callable[[], System]
GatewayFactory = Callable[..., Service]


def logs_of_open_systems() -> Iterator[tuple[str, str]]:
    """For the report of a failed test: a title and the end of each service's log."""
    for system in _open_systems:
        for service in system.services:
            if service.runs or service.child.ended() not in (0, -signal.SIGKILL):
                yield f"log of {service.name} {service.pid} ({service.child.log})", service.tail()


_open_systems: list[System] = []
