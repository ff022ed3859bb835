"""The service processes of a run, by name, with the links that lead to and from them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.settings import HOST, Address
from tests.faults.backends import Backends
from tests.faults.links import Link
from tests.support.system import Service, ServiceName, System

COMMON = {"SLOTS": "8", "API_KEY_PEPPER": "faults", "LOG_FORMAT": "json", "SLOT_LEASE": "8s"}
SETTINGS: dict[str, dict[str, str]] = {
    "gateway": {
        "gateway_heartbeat_interval": "2s",
        "gateway_idle_timeout": "10s",
        "gateway_outbox_bytes": str(48 * 1024),
    },
    "router": {},
    "auth": {},
}
READY_SECONDS = 300.0
"""It may have to wait for a broker that another fault has taken away."""

ANSWER_SECONDS = 5.0
ASK_SECONDS = 0.3
"""Between questions; more of them would cost what the run itself needs."""

AT_START = ("auth", "gateway-0", "gateway-1", "router-0", "router-1")


@dataclass(slots=True, eq=False)
class Machine:
    """A named place for one process of a service; `busy` while a fault has it, `down` while nothing should run there."""

    name: str
    service: Service | None = None
    busy: bool = False

    @property
    def kind(self) -> ServiceName:
        kind = self.name.partition("-")[0]
        assert kind in ("auth", "gateway", "router")
        return kind  # type: ignore[return-value]

    @property
    def up(self) -> Service:
        assert self.service is not None
        return self.service


class Fleet:
    def __init__(self, backends: Backends, prefix: str, redis_db: int, logs: Path) -> None:
        environment = {**backends.servers.environment(), **COMMON, "TOPIC_PREFIX": prefix, "REDIS_DB": str(redis_db)}
        self.system = System(environment, logs)
        self.backends = backends
        self.machines = {name: Machine(name) for name in (*AT_START, "router-2")}
        self._turn = random.Random(prefix)
        self.fronts = {
            "first": Link("front first", lambda: self._target("gateway-0"), small=True),
            "second": Link("front second", lambda: self._target("gateway-1"), small=True),
            "either": Link("front either", self._any_target, small=True),
        }

    async def start(self) -> None:
        for link in self.fronts.values():
            await link.open()
        for name in AT_START:
            self.launch(self.machines[name])
        for name in AT_START:
            await self.wait_ready(self.machines[name])

    def launch(self, machine: Machine) -> None:
        """Start a process there, and do not wait. In the main thread: Linux ends a child with the thread that made it."""
        settings = {**SETTINGS[machine.kind], **self.backends.environment(machine.name)}
        machine.service = self.system.launch(machine.kind, **settings)

    async def wait_ready(self, machine: Machine) -> None:
        """AssertionError, with the end of its log, when it ends or takes too long."""
        service, until = machine.up, time.monotonic() + READY_SECONDS
        while not await _says_ready(service.port):
            assert service.runs, f"{machine.name} ended with {service.child.ended()}:\n{service.tail()}"
            assert time.monotonic() < until, f"{machine.name} is not ready after {READY_SECONDS} s:\n{service.tail()}"
            await asyncio.sleep(ASK_SECONDS)

    async def wait_all_ready(self) -> None:
        for machine in self.running():
            await self.wait_ready(machine)

    def running(self) -> list[Machine]:
        return [machine for machine in self.machines.values() if machine.service is not None]

    def free(self, kind: str) -> Iterator[Machine]:
        """Machines of a kind that run and that no other fault has."""
        return (each for each in self.running() if each.kind == kind and not each.busy)

    def died(self) -> list[str]:
        """Processes that ended though nobody ended them: an error of theirs."""
        return [
            f"{each.name} ended with {each.up.child.ended()}: {each.up.tail()[-2000:]}"
            for each in self.running()
            if not each.busy and not each.up.runs
        ]

    async def close(self) -> None:
        for link in self.fronts.values():
            await link.close()
        await asyncio.to_thread(self.system.close)

    def _target(self, name: str) -> Address | None:
        service = self.machines[name].service
        return None if service is None else Address(HOST, service.port)

    def _any_target(self) -> Address | None:
        """As a balancer does that has not noticed yet which are away."""
        return self._target(self._turn.choice(["gateway-0", "gateway-1"]))


async def _says_ready(port: int) -> bool:
    """What `/readyz` answers; False where nothing does."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            with contextlib.closing(writer):
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False
