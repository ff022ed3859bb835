"""Starts the parts in order, keeps the services running, and ends all in the reverse order.

    servers (kafka, redis) -> auth, router, gateway -> demo key -> replay

A service that dies is started again, as an operator's supervisor would; a server that dies ends the run, for its memory is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from deploy.local import demo_key, state
from deploy.local.console import banner, step
from deploy.local.ports import accepts, answers_ping, require_free
from deploy.local.processes import Child, Command, start
from deploy.local.servers import tansu, valkey
from deploy.local.services import Service, replay, services
from deploy.local.settings import HOST, ROOT, Address, LocalError, LocalSettings
from deploy.local.signals import StopFlag

REMIND_SECONDS = 5.0
RESTART_PAUSE_SECONDS = 1.0
RESTARTS_PER_MINUTE = 5


@dataclass(frozen=True, slots=True)
class Part:
    """A running child: where it is reached, and whether it is started again when it dies."""

    child: Child
    where: str
    restart: bool


class Supervisor:
    """The processes of one run."""

    def __init__(self, settings: LocalSettings, stop: StopFlag) -> None:
        self._settings = settings
        self._stop = stop
        self._parts: list[Part] = []
        self._restarts: list[float] = []

    def check_ports(self) -> None:
        """Return when each port that the run opens is free; else LocalError names the variable that moves it."""
        require_free(self._settings.gateway_port, "GATEWAY_PORT")
        if self._settings.kafka_servers is None:
            require_free(self._settings.kafka_port, "LOCAL_KAFKA_PORT")
        if self._settings.redis_server is None:
            require_free(self._settings.redis_port, "LOCAL_REDIS_PORT")

    def start(self) -> str:
        """Return what to tell the user when everything is up. LocalError when a part ends instead."""
        for old in self._settings.folder.glob("*.log"):
            old.unlink()
        self._start_kafka()
        self._start_redis()
        key = self._start_services()
        if self._settings.replay:
            self._launch(replay(self._settings), "data/", restart=True)
            step("replay", "playing data/")
        return banner(self._settings, key, str(self._settings.folder.relative_to(ROOT)))

    def watch(self) -> None:
        """Keep it running until StopRequested."""
        while True:
            self._stop.wait_until(lambda: self._dead() is not None)
            part = self._dead()
            if part is not None:
                self._revive(part)

    def stop(self) -> None:
        """Return when no process is left; the last started one ends first."""
        while self._parts:
            part = self._parts[-1]
            step(part.child.name, "ending")
            part.child.stop()
            self._parts.pop()
        state.forget(self._settings.folder)

    def _start_kafka(self) -> None:
        if self._settings.kafka_servers is not None:
            step("kafka", f"using {self._settings.kafka_servers} (KAFKA_BOOTSTRAP_SERVERS)")
            return
        address = Address(HOST, self._settings.kafka_port)
        part = self._launch(tansu(address.port), str(address), restart=False)
        self._wait(part, lambda: None if accepts(address) else f"its port {address.port}")

    def _start_redis(self) -> None:
        address = self._settings.redis
        if self._settings.redis_server is not None:
            step("redis", f"using {address} (REDIS_HOST)")
            return
        part = self._launch(valkey(address.port), str(address), restart=False)
        self._wait(part, lambda: None if answers_ping(address) else f"its port {address.port}")

    def _start_services(self) -> str:
        """Start all at once, for each takes a second to import, and make the key meanwhile."""
        started = [(self._launch(each.command, _where(each), restart=True), each) for each in services(self._settings)]
        key = demo_key.create(self._settings)
        for part, service in started:
            self._wait(part, service.missing)
        return key

    def _launch(self, command: Command, where: str, *, restart: bool) -> Part:
        log = self._settings.folder / f"{command.name}.log"
        part = Part(start(command, log), where, restart)
        self._parts.append(part)
        self._write_state()
        return part

    def _wait(self, part: Part, missing: Callable[[], str | None]) -> None:
        """Return when nothing is missing; what is missing is said again every few seconds."""
        begun = said = time.monotonic()
        while (lack := missing()) is not None:
            self._require_running(part)
            if time.monotonic() - said > REMIND_SECONDS:
                said = time.monotonic()
                step(part.child.name, f"waits for {lack}")
            self._stop.pause()
        step(part.child.name, f"ready: {part.where} ({time.monotonic() - begun:.1f} s)")

    def _require_running(self, part: Part) -> None:
        status = part.child.ended()
        if status is not None:
            raise LocalError(
                f"{part.child.name} ended with status {status}. The end of {part.child.log}:\n{part.child.tail()}"
            )

    def _dead(self) -> Part | None:
        return next((part for part in self._parts if part.child.ended() is not None), None)

    def _revive(self, part: Part) -> None:
        if not part.restart or self._restarts_too_often():
            self._require_running(part)
        step(
            part.child.name,
            f"ended with status {part.child.ended()}, see {part.child.log.relative_to(ROOT)}; starting it again",
        )
        self._stop.pause(RESTART_PAUSE_SECONDS)
        index = self._parts.index(part)
        self._parts[index] = replace(part, child=start(part.child.command, part.child.log))
        self._write_state()

    def _restarts_too_often(self) -> bool:
        now = time.monotonic()
        self._restarts = [*(at for at in self._restarts if now - at < 60), now]
        return len(self._restarts) > RESTARTS_PER_MINUTE

    def _write_state(self) -> None:
        entries = [
            state.entry(part.child.name, part.child.process.pid, part.where, part.child.log) for part in self._parts
        ]
        state.write(self._settings.folder, entries)


def _where(service: Service) -> str:
    return f"http://{Address(HOST, service.port)}"
