"""The figures of the acceptance criteria "connect", "scale" and "Redis": `python -m benchmarks.acceptance [--quick] [--json]`.

Runs auth, one router and one gateway as processes of their own, on the servers that `tests.support.servers` chooses; see README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import redis_figures
from benchmarks.figures import Figure, Percentiles, percentiles, table
from benchmarks.keys import make_keys
from benchmarks.load import BUCKET_MS
from benchmarks.processes import CpuShares, LoadProcess, produce, resident_mib, servers_of_this_process
from deploy.local.settings import HOST
from tests.support.records import Records
from tests.support.servers import Servers, open_servers
from tests.support.system import System

CONNECTS_A_SECOND = 100.0
CONNECT_TARGET_MS = 100.0
DELIVERY_TARGET_MS = 100.0
SOCKETS_A_ROOM = 100
WARM_UP_SECONDS = 2.0
LATE_SECONDS = 30.0
PEPPER = "benchmark"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    sockets: int
    rate: float
    seconds: float
    connects: int
    limit: float

    @property
    def tokens(self) -> list[str]:
        """One room each, with a hundred sockets."""
        return [f"bench-{number}" for number in range(max(1, self.sockets // SOCKETS_A_ROOM))]

    @property
    def fan_out(self) -> float:
        """Sockets that each update goes to."""
        return self.sockets / len(self.tokens)


async def run(plan: Plan, system: System, servers: Servers) -> list[Figure]:
    """All figures, in the order of the criteria."""
    path = "/v2/realtime"
    async with (
        asyncio.timeout(plan.limit),
        system.records() as records,
        LoadProcess(HOST, system.gateway.port, path) as load,
    ):
        keys = await make_keys(records, plan.connects, PEPPER)
        figures = await _connect(load, keys)
        await redis_figures.until_empty(records)
        bytes_before = await redis_figures.used_bytes(records)
        figures.append(await _open(plan, load, records, keys))
        figures += await _scale(plan, load, system, servers.kafka)
        figures += await redis_figures.measure(records, connections=plan.sockets, bytes_before=bytes_before)
        await load.order("close")
    return figures


async def _connect(load: LoadProcess, keys: list[str]) -> list[Figure]:
    _progress(f"connect: {len(keys)} connects at {CONNECTS_A_SECOND:.0f}/s, each with a key of its own")
    fresh = await load.order("connect", keys=keys, rate=CONNECTS_A_SECOND)
    await load.order("close")
    again = await load.order("connect", keys=[keys[0]] * len(keys), rate=CONNECTS_A_SECOND)
    await load.order("close")
    failed = [*fresh["failed"], *again["failed"]]
    missed = f"{len(failed)} of {2 * len(keys)} {failed[0] if failed else ''}".strip()
    return [
        _connect_figure("each key for the first time", percentiles(fresh["milliseconds"])),
        _connect_figure("one key, known", percentiles(again["milliseconds"])),
        Figure("connect", "refused or failed", missed, "0", not failed),
    ]


def _connect_figure(what: str, measured: Percentiles) -> Figure:
    target = f"p95 under {CONNECT_TARGET_MS:.0f} ms"
    return Figure("connect", f"to authenticated, {what}", str(measured), target, measured.p95 < CONNECT_TARGET_MS)


async def _open(plan: Plan, load: LoadProcess, records: Records, keys: list[str]) -> Figure:
    """Open and subscribe all sockets; returns when the registry has them too."""
    _progress(f"scale: opening and subscribing {plan.sockets} sockets")
    opened = await load.order("open", sockets=plan.sockets, keys=keys, tokens=plan.tokens)
    await redis_figures.until_registered(records, plan.sockets)
    what = f"sockets open, authenticated, subscribed (in {opened['seconds']:.0f} s)"
    return Figure("scale", what, f"{opened['sockets']:,}", f"{plan.sockets:,}", opened["sockets"] == plan.sockets)


async def _scale(plan: Plan, load: LoadProcess, system: System, bootstrap: str) -> list[Figure]:
    """Updates at the rate, each to the sockets of one room; what a first short run brings is not counted."""
    topic = f"{system.environment['TOPIC_PREFIX']}updates.prices"
    await load.order("start")
    warm = await produce(bootstrap, topic, rate=plan.rate, seconds=WARM_UP_SECONDS, tokens=len(plan.tokens))
    await load.order("stop", expected=round(warm["published"] * plan.fan_out), within=LATE_SECONDS)
    _progress(f"scale: {plan.rate:.0f} updates/s for {plan.seconds:.0f} s, each to {plan.fan_out:.0f} sockets")
    await load.order("start")
    shares = CpuShares({service.name: service.pid for service in system.services} | servers_of_this_process())
    produced = await produce(bootstrap, topic, rate=plan.rate, seconds=plan.seconds, tokens=len(plan.tokens))
    cpu = shares.since()
    expected = round(produced["published"] * plan.fan_out)
    received = await load.order("stop", expected=expected, within=LATE_SECONDS)
    cpu |= {"load": received["cpu"], "producer": produced["cpu"]}
    return [
        _delivery_figure(plan, _from_buckets(received["milliseconds"])),
        _count_figure(received["received"], expected),
        Figure("scale", "producer behind its plan, at most", f"{produced['late']:.0f} ms"),
        _shares_figure("of the services", cpu, ("gateway", "router", "auth")),
        _shares_figure("of servers and load", cpu, ("kafka", "redis", "load", "producer")),
        _memory_figure(plan, resident_mib(system.gateway.pid)),
    ]


def _shares_figure(whose: str, cpu: dict[str, float], names: Sequence[str]) -> Figure:
    shares = "  ".join(f"{name} {cpu[name]:.2f}" for name in names if name in cpu)
    return Figure("scale", f"shares of a core {whose}", shares)


def _delivery_figure(plan: Plan, measured: Percentiles) -> Figure:
    what = f"producer's clock to client, {plan.rate:.0f} updates/s x {plan.fan_out:.0f} sockets"
    target = f"p95 under {DELIVERY_TARGET_MS:.0f} ms"
    return Figure("scale", what, str(measured), target, measured.p95 < DELIVERY_TARGET_MS)


def _count_figure(received: int, expected: int) -> Figure:
    return Figure("scale", "updates received", f"{received:,} of {expected:,}", "all, once", received == expected)


def _memory_figure(plan: Plan, mib: float) -> Figure:
    a_socket = f"{mib * 1024 / plan.sockets:.1f} KiB a socket with the interpreter"
    return Figure("scale", "gateway's resident memory", f"{mib:.0f} MiB, {a_socket}")


def _from_buckets(buckets: dict[str, int]) -> Percentiles:
    """Percentiles of a histogram; each bucket counts as its upper bound."""
    counts = Counter({int(bucket): count for bucket, count in buckets.items()})
    return percentiles((bucket + 1) * BUCKET_MS for bucket in sorted(counts) for _ in range(counts[bucket]))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the acceptance criteria connect, scale and Redis.")
    parser.add_argument("--sockets", type=int, default=10_000, help="open at once on one gateway (10000)")
    parser.add_argument("--rate", type=float, default=250.0, help="updates a second, each to 100 sockets (250)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of updates (20)")
    parser.add_argument("--connects", type=int, default=1000, help="measured connects, at 100/s (1000)")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which the run fails (600)")
    parser.add_argument(
        "--quick", action="store_true", help="300 sockets for 5 s, 300 connects: shows that it works, measures little"
    )
    parser.add_argument("--containers", action="store_true", help="on Apache Kafka and Valkey in containers")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser.parse_args(arguments)


def _plan(given: argparse.Namespace) -> Plan:
    if given.quick:
        return Plan(sockets=300, rate=100.0, seconds=5.0, connects=300, limit=120.0)
    return Plan(given.sockets, given.rate, given.seconds, given.connects, given.limit)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = _arguments(arguments)
    plan = _plan(given)
    environment = {**os.environ, **({"DEFISTREAM_TEST_SERVERS": "containers"} if given.containers else {})}
    with (
        tempfile.TemporaryDirectory(prefix="defistream-bench-") as folder,
        open_servers(Path(folder), environment, on_host=True) as servers,
    ):
        variables = {
            **servers.environment(),
            "TOPIC_PREFIX": f"bench{os.getpid()}-",
            "REDIS_DB": "1",
            "API_KEY_PEPPER": PEPPER,
        }
        system = System(variables, Path(folder))
        try:
            system.start_all(gateway_max_connections=str(plan.sockets + 500))
            figures = asyncio.run(run(plan, system, servers))
        finally:
            system.close()
    if given.json:
        print(json.dumps({"servers": servers.kind, "figures": [figure.to_json() for figure in figures]}, indent=1))
        return
    print(f"\non {servers.kind} servers, {os.cpu_count()} cores\n\n{table(figures)}")


if __name__ == "__main__":
    main()
