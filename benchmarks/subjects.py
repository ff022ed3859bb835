"""Who is measured: our gateway's core, the floor, and what a user would otherwise take; all are opened and ordered in one way."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from benchmarks.native import built
from benchmarks.rivals.nchan import Nchan
from benchmarks.samples import token_of
from benchmarks.suite import Skipped, progress
from benchmarks.talking import ROOT, SERVER_CORE, Reader, Talking, python

Name = Literal["defistream", "floor", "floor, joined", "starlette", "centrifuge", "nchan"]
RIVALS: tuple[Name, ...] = ("starlette", "centrifuge", "nchan")
_BUILD_SECONDS = 600
Steps = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Subject:
    """A server and the reader of its sockets."""

    name: Name
    server: Talking
    reader: Reader

    async def open(self, sockets: int, *, rooms: int = 1, subscriptions: int = 1, keys: Path | None = None) -> None:
        """Sockets, each authenticated where that is usual, in one room of `rooms`, or in several."""
        path, steps = way_in(self.name, subscriptions)
        with_keys = keys if self.name == "defistream" and subscriptions else None
        await self.reader.open(sockets, path=path, steps=steps, rooms=rooms, keys=with_keys)

    async def open_elsewhere(self, sockets: int, *, keys: Path) -> None:
        """Sockets of ours in rooms that are not fed."""
        steps = realtime_steps("elsewhere-{room}", 1)
        await self.reader.open(sockets, path="/v2/realtime", steps=steps, rooms=max(1, sockets // 100), keys=keys)

    async def run(self, seconds: float, updates: int, size: int, rooms: int) -> dict[str, float]:
        """Ticks of so many updates to each room, as fast as they go: how many, in how many seconds of the clock and of CPU."""
        if isinstance(self.server, Nchan):
            return await self.server.run(seconds, updates, size, rooms)
        last = int(self.name == "floor, joined") if self.name.startswith("floor") else rooms
        return await self.server.order("run", seconds, updates, size, last)


@contextlib.asynccontextmanager
async def opened(name: Name, *, server_core: int | None = SERVER_CORE) -> AsyncIterator[Subject]:
    """The server and a reader, running. Raises `Skipped` where the server cannot run here."""
    with tempfile.NamedTemporaryFile(prefix="defistream-bench-") as counter:
        counter.write(bytes(8))
        counter.flush()
        async with _server(name, counter.name, server_core) as server:
            modes = ["lines"] if name == "centrifuge" else []
            async with Reader(server.port, *modes, f"counter={counter.name}") as reader:
                yield Subject(name, server, reader)


def _server(name: Name, counter: str, core: int | None) -> Talking:
    if name == "nchan":
        return Nchan(core=core)
    arguments = {
        "defistream": lambda: python("benchmarks.gateway_core"),
        "floor": lambda: [str(built("floor"))],
        "floor, joined": lambda: [str(built("floor"))],
        "starlette": lambda: python("benchmarks.rivals.starlette_server"),
        "centrifuge": lambda: [str(centrifuge()), "-counter", counter],
    }[name]()
    return Talking(name, arguments, core=core)


def way_in(name: Name, subscriptions: int) -> tuple[str, Steps]:
    """Path of the handshake, and what is said after it. No subscriptions: only the socket."""
    room = token_of(0).replace("0", "{room}")
    if name == "starlette":
        return f"/rooms/{room}", ()
    if name == "nchan":
        return f"/rooms/?id={room}", ()
    if name == "centrifuge":
        joining = [
            (json.dumps({"id": 2 + n, "subscribe": {"channel": room + (f"-{n}" if n else "")}}), f'"id":{2 + n}')
            for n in range(subscriptions)
        ]
        return "/connection/websocket", [('{"id":1,"connect":{}}', '"id":1'), *joining] if subscriptions else ()
    if name == "defistream" and subscriptions:
        return "/v2/realtime", realtime_steps(room, subscriptions)
    return "/v2/realtime", ()


def realtime_steps(room: str, subscriptions: int) -> Steps:
    """Authenticated by the handshake's key, then subscribed to so many rooms, of which the first is the one that is fed."""
    tokens = [room + (f"-{n}" if n else "") for n in range(subscriptions)]
    asked = [
        json.dumps({"type": "subscribe", "id": n, "channel": "prices", "filters": {"tokenIds": [token]}})
        for n, token in enumerate(tokens)
    ]
    return [("", '"authenticated"'), *((each, '"subscribed"') for each in asked)]


@cache
def centrifuge() -> Path:
    """The Go program, built once a run. Raises `Skipped` where there is no Go, or its modules cannot be had."""
    go = shutil.which("go")
    if go is None:
        raise Skipped("no Go toolchain")
    folder = Path(tempfile.gettempdir()) / f"defistream-bench-centrifuge-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    progress("  building the centrifuge server")
    done = subprocess.run(
        (go, "build", "-o", folder / "centrifuge", "."),
        cwd=ROOT / "benchmarks/rivals/centrifuge",
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Skipped(f"the Go program does not build: {done.stderr.strip().splitlines()[-1][:120]}")
    return folder / "centrifuge"


@contextlib.contextmanager
def key_file(keys: Sequence[str] | int) -> Iterator[Path]:
    """A file of API keys, one a line, for the reader: these, or so many that are made up."""
    lines = [f"bench-key-{number:08d}" for number in range(keys)] if isinstance(keys, int) else keys
    with tempfile.NamedTemporaryFile("w", prefix="defistream-bench-keys-") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        yield Path(file.name)
