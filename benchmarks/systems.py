"""The whole product for a benchmark: auth, router and gateway as processes of their own, on the servers of the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.keys import make_keys
from benchmarks.processes import produce
from benchmarks.samples import token_of
from benchmarks.subjects import Steps, key_file, realtime_steps
from benchmarks.suite import Options, progress
from benchmarks.talking import Reader
from tests.support.records import Records
from tests.support.servers import Servers, ServersUnavailable, open_servers
from tests.support.system import System

PEPPER = "benchmark"
PATH = "/v2/realtime"
_STEPS = realtime_steps(token_of(0).replace("0", "{room}"), 1)


@dataclass(slots=True)
class BenchSystem:
    """`keys` is a file of API keys that are known to auth, a tenth of the sockets."""

    servers: Servers
    system: System
    records: Records
    keys: Path

    @property
    def prices(self) -> str:
        """The topic that the benchmarks write to."""
        return f"{self.system.environment['TOPIC_PREFIX']}updates.prices"

    def reader(self) -> Reader:
        """Compares stamps with the clock. On no core of its own: everything shares what there is."""
        return Reader(self.system.gateway.port, "stamps", core=None)

    async def open(self, reader: Reader, sockets: int, *, rooms: int) -> dict[str, Any]:
        """Sockets that are authenticated and subscribed. RuntimeError when one is not."""
        return await reader.open(sockets, path=PATH, steps=_STEPS, rooms=rooms, keys=self.keys)

    async def open_at_once(
        self, reader: Reader, sockets: int, *, rooms: int, limit: float, since: str | None = None
    ) -> dict[str, Any]:
        """The same for all at the same moment; the answer tells how many `failed`. `since`: until each has all that it missed."""
        flat = [part for step in (_STEPS if since is None else resuming_steps(since)) for part in step]
        return await reader.order("open", sockets, sockets, limit, rooms, PATH, self.keys, *flat)

    async def produce(self, *, rate: float, seconds: float, rooms: int) -> dict[str, float]:
        """Stamped updates at a steady rate, to each room in turn; what the producer says of itself."""
        return await produce(self.servers.kafka, self.prices, rate=rate, seconds=seconds, tokens=rooms)


def resuming_steps(since: str) -> Steps:
    """As those of all others, from a cursor on, to the end of the replay."""
    (said, answer), (asked, subscribed) = _STEPS
    return [(said, answer), (json.dumps({**json.loads(asked), "since": since}), subscribed), ("", '"replay_end"')]


@contextlib.contextmanager
def quiet_servers(options: Options, folder: Path) -> Iterator[Servers]:
    """Given ones, else Apache Kafka and Valkey in containers, else (and for a quick run) the embedded ones.

    To be called with no event loop running.
    """
    kinds = ("embedded",) if options.quick else ("containers", "embedded")
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            try:
                environ = {**os.environ, "DEFISTREAM_TEST_SERVERS": kind}
                servers = stack.enter_context(open_servers(folder, environ, on_host=True))
            except ServersUnavailable as reason:
                progress(f"  no {kind} servers: {reason}")
                continue
            yield servers
            return
        raise ServersUnavailable("no Kafka and Redis to measure on")


@contextlib.asynccontextmanager
async def running_system(
    options: Options, *, sockets: int, gateways: int = 1, **gateway: str
) -> AsyncIterator[BenchSystem]:
    """All services, ready, with keys; all gone afterwards."""
    servers = options.given_servers
    with tempfile.TemporaryDirectory(prefix="defistream-bench-") as name:
        system = System(environment(servers), Path(name))
        try:
            settings: dict[str, Any] = {"gateways": gateways, "gateway_max_connections": str(sockets + 500), **gateway}
            await asyncio.to_thread(partial(system.start_all, **settings))
            async with system.records() as records:
                # Another benchmark's registry may be there still.
                await records.redis.flushdb()
                with key_file(await make_keys(records, max(1, sockets // 10), PEPPER)) as keys:
                    yield BenchSystem(servers, system, records, keys)
        finally:
            await asyncio.to_thread(system.close)


def environment(servers: Servers) -> dict[str, str]:
    """What the services are given: names of their own on servers that others may use too."""
    names = {"TOPIC_PREFIX": f"bench{secrets.token_hex(4)}-", "REDIS_DB": "1", "API_KEY_PEPPER": PEPPER}
    return {**servers.environment(), **names}
