"""End to end: from the producer's clock to the client's read, through Kafka, router, Kafka and gateway, everything on the same cores.

100 rooms share the sockets; the producer is open loop. Where the time goes: a consumer beside the load sees the record of the update and
the delivery of the router, so a hop's time has that consumer's own in it; the last hop is what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.processes import CpuShares, produce, servers_of_this_process
from benchmarks.rivals.bridge import bridged
from benchmarks.rivals.nchan import Nchan
from benchmarks.samples import STAMP
from benchmarks.subjects import RIVALS, Name, centrifuge, way_in
from benchmarks.suite import Options, Report, Skipped, percentile_of_buckets, progress
from benchmarks.systems import BenchSystem, running_system
from benchmarks.talking import Reader, Talking, python
from common.deliveries import Routed, decode_delivery
from tests.support.servers import Servers

ROOMS = 100
LATE_SECONDS = 20.0
DRAINING_SECONDS = 60.0
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
TARGETS: dict[tuple[int, str], float] = {
    (25_000, "p50"): 7.0,
    (25_000, "p99"): 20.0,
    (50_000, "p99"): 40.0,
    (100_000, "p99"): 100.0,
}
RIVAL_TOPIC = "bench-rivals"


async def measure(options: Options) -> Report:
    """Percentiles of the latency at each rate of deliveries, ours and the rivals'; the hops of ours; shares of a core."""
    report = Report("end-to-end")
    sockets, rates = options.pick(10_000, 200), options.pick((25_000, 50_000, 100_000), (2000,))
    async with asyncio.timeout(options.limit), running_system(options, sockets=sockets) as system:
        progress(f"end-to-end: {sockets:,} sockets on {system.servers.kind} servers")
        async with system.reader() as reader:
            await system.open(reader, sockets, rooms=ROOMS)
            # Not counted: a broker's Java is compiled while it works, on the cores that are measured.
            await _Load(system.servers, system.prices, sockets, rates[0], options).run(options.pick(45.0, 0.5))
            for rate in rates:
                load = _Load(system.servers, system.prices, sockets, rate, options)
                await load.measure("defistream", reader, report, _pids(system))
                await _hops(system, load, report)
    for name in RIVALS:
        try:
            async with asyncio.timeout(options.limit):
                await _rival(name, sockets, rates, options, report)
        except Skipped as reason:
            report.skip(name, reason)
        except Exception as error:  # noqa: BLE001 - whatever a rival does, what was found before it is kept
            report.skip(name, f"failed: {type(error).__name__}: {error}")
    return report


class _Load:
    """One rate of deliveries to the sockets that are open."""

    def __init__(self, servers: Servers, topic: str, sockets: int, rate: int, options: Options) -> None:
        self.case = f"{sockets:,} sockets, {ROOMS} rooms, {rate:,} deliveries/s"
        self.fan_out = sockets / ROOMS
        self.rate = rate
        self._servers, self._topic, self._options = servers, topic, options

    async def run(self, seconds: float) -> dict[str, float]:
        return await produce(
            self._servers.kafka, self._topic, rate=self.rate / self.fan_out, seconds=seconds, tokens=ROOMS
        )

    async def measure(self, name: str, reader: Reader, report: Report, pids: dict[str, int]) -> None:
        options = self._options
        await self.run(options.pick(3.0, 0.5))
        await _drain(reader, options)
        found: dict[str, list[float]] = {each: [] for each in PERCENTILES}
        shares: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            await reader.order("reset")
            cpu = CpuShares(pids | servers_of_this_process())
            produced = await self.run(options.pick(10.0, 1.0))
            expected = round(produced["published"] * self.fan_out)
            taken = cpu.since() | {"producer": produced["cpu"]}
            got = await reader.wait(expected, LATE_SECONDS)
            if got["updates"] != expected:
                arrived = got["updates"] / expected * 100
                report.add(
                    name, self.case, f"falls behind: arrived within {LATE_SECONDS:g} s of the last", arrived, "%"
                )
                await _drain(reader, options)
                return
            for each, share in PERCENTILES.items():
                found[each].append(percentile_of_buckets(got["buckets"], share))
            for process, value in (taken | {"reader": got["cpu"] / got["wall"]}).items():
                shares.setdefault(process, []).append(value)
        self._report(name, report, found, shares)

    def _report(self, name: str, report: Report, found: dict[str, list[float]], shares: dict[str, list[float]]) -> None:
        for each, values in found.items():
            most = TARGETS.get((self.rate, each)) if name == "defistream" else None
            median = sorted(values)[len(values) // 2]
            target, met = (f"at most {most:g}", median <= most) if most else ("", None)
            report.add(name, self.case, each, values, "ms", target=target, met=met)
        for process, taken in shares.items():
            report.add(name, self.case, f"{process}'s share of a core", taken, "core")


async def _drain(reader: Reader, options: Options) -> None:
    """Return once nothing comes any more, so that what is late is not counted as the next run's."""
    limit, before = time.monotonic() + DRAINING_SECONDS, -1
    while time.monotonic() < limit:
        now = (await reader.wait(2**62, options.pick(2.0, 0.3)))["updates"]
        if now == before:
            return
        before = now


def _pids(system: BenchSystem) -> dict[str, int]:
    return {service.name: service.pid for service in system.system.services}


async def _hops(system: BenchSystem, load: _Load, report: Report) -> None:
    """Medians of what a consumer sees: the update in Kafka, the router's clock, the delivery in Kafka."""
    prefix = system.system.environment["TOPIC_PREFIX"]
    times: dict[str, list[float]] = {"in Kafka": [], "routed": [], "delivery in Kafka": []}
    consumer = AIOKafkaConsumer(
        system.prices, f"{prefix}deliveries", bootstrap_servers=system.servers.kafka, auto_offset_reset="latest"
    )
    await consumer.start()
    try:
        watching = asyncio.create_task(_watch(consumer, system.prices, times))
        await load.run(2.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    finally:
        await consumer.stop()
    for hop, values in times.items():
        if values:
            report.add("defistream", load.case, f"stamp to {hop}, p50", sorted(values)[len(values) // 2], "ms")


async def _watch(consumer: Any, updates: str, times: dict[str, list[float]]) -> None:
    async for record in consumer:
        now = time.time_ns()
        if record.topic == updates:
            times["in Kafka"].append((now - _stamp(record.value)) / 1e6)
            continue
        delivery = decode_delivery(record.value)
        for segment in delivery.segments:
            for item in segment.items:
                if isinstance(item, Routed):
                    stamp = _stamp(item.body)
                    times["routed"].append(delivery.routed_at - stamp / 1e6 + 0.5)
                    times["delivery in Kafka"].append((now - stamp) / 1e6)


def _stamp(body: bytes) -> int:
    at = body.index(STAMP) + len(STAMP)
    return int(body[at : at + 19])


async def _rival(name: Name, sockets: int, rates: tuple[int, ...], options: Options, report: Report) -> None:
    servers = options.given_servers
    if name == "centrifuge" and servers.kind == "embedded":
        raise Skipped("franz-go reads nothing from the embedded broker; it does from Apache Kafka")
    async with _serving(name, servers.kafka) as server:
        progress(f"end-to-end: {name}, {sockets:,} sockets")
        modes = ("stamps", "lines") if name == "centrifuge" else ("stamps",)
        async with Reader(server.port, *modes, core=None) as reader:
            path, steps = way_in(name, 1)
            await reader.open(sockets, path=path, steps=steps, rooms=ROOMS)
            for rate in rates:
                load = _Load(servers, RIVAL_TOPIC, sockets, rate, options)
                await load.measure(name, reader, report, {name: server.pid})


@contextlib.asynccontextmanager
async def _serving(name: Name, broker: str) -> AsyncIterator[Talking]:
    """The rival, reading the topic; nchan by a bridge of ours."""
    await _make_topic(broker)
    if name == "nchan":
        async with Nchan(core=None) as nchan, bridged(broker, RIVAL_TOPIC, nchan.port):
            yield nchan
        return
    command = {
        "starlette": lambda: [*python("benchmarks.rivals.starlette_server"), broker, RIVAL_TOPIC],
        "centrifuge": lambda: [str(centrifuge()), "-kafka", broker, "-topic", RIVAL_TOPIC],
    }[name]()
    async with Talking(name, command) as server:
        yield server


async def _make_topic(broker: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        if RIVAL_TOPIC not in await admin.list_topics():
            await admin.create_topics([NewTopic(RIVAL_TOPIC, 4, 1)])
    finally:
        await admin.close()
