"""Slow consumers: ten sockets that do not read among 10,000 that do. What the others feel, what it costs, and what the ten are told.

The ten have updates of their own, large and of few entities, so that their outboxes fill and conflate but do not overflow. In the phases
without stuck readers the same ten get the same updates and read them, so that phases differ in that alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Self

from aiokafka import AIOKafkaProducer

from benchmarks.keeping import KeepingSocket, connected
from benchmarks.processes import resident_mib
from benchmarks.suite import Options, Report, percentile_of_buckets, progress
from benchmarks.systems import PATH, BenchSystem, running_system
from benchmarks.talking import Reader

ROOMS, DELIVERIES, QUICK_DELIVERIES = 100, 10_000.0, 300.0
STUCK, ENTITIES, UPDATE_BYTES = 10, 32, 16 * 1024
"""An outbox (1 MiB) holds the last updates of all entities of a reader twice."""
FILLING, FILLING_RATE, RATE_EACH = 120, 40.0, 10.0
"""Updates that fill a reader before anything is counted, and how many follow a second while it is."""
HOST, SEGMENT_BYTES = "127.0.0.1", 1448
"""As of a client in a network. On loopback the kernel would take 4 MB from the gateway for each socket that does not read."""
MOST_RATIO = 1.1
MOST_GROWTH_MB = STUCK * (1.0 + 0.25) + 16.0
"""What may wait for each, the outbox and what was written in the tick in which the transport filled; and slack."""
LATE_SECONDS = 20.0


async def measure(options: Options) -> Report:
    """Latency of the others with and without, the ratio of the p99; the gateway's growth; whether counts add up for each of the ten."""
    report = Report("slow-consumers")
    sockets, deliveries = options.pick((10_000, DELIVERIES), (300, QUICK_DELIVERIES))
    async with (
        asyncio.timeout(options.limit),
        running_system(options, sockets=sockets + STUCK) as system,
        system.reader() as reader,
    ):
        progress(f"slow-consumers: {sockets:,} sockets on {system.servers.kind} servers")
        await system.open(reader, sockets, rooms=ROOMS)
        phase = partial(_phase, system, reader, options, sockets, deliveries * ROOMS / sockets)
        if not options.quick:
            # Not counted: what the gateway grows by in its first phase is not for stuck readers.
            await phase(stuck=False)
        before, without, stuck = resident_mib(system.system.gateway.pid), [await phase(stuck=False)], []
        for _ in range(options.rounds):
            stuck.append(await phase(stuck=True))
            without.append(await phase(stuck=False))
    for each in (*without, *stuck):
        each["gateway's growth"] -= before
    _report(report, without, stuck, f"{sockets:,} sockets, {deliveries:,.0f} deliveries/s")
    return report


def _report(report: Report, without: Sequence[dict[str, float]], stuck: Sequence[dict[str, float]], case: str) -> None:
    """`stuck` has those between each two of `without`."""
    cases = {f"{case}, none stuck": without, f"{case}, {STUCK} stuck": stuck}
    for each, phases in cases.items():
        for name, unit in (("p50", "ms"), ("p99", "ms"), ("gateway's growth", "MB"), ("conflated", "updates")):
            most = MOST_GROWTH_MB if phases is stuck and unit == "MB" else None
            _add(report, each, (name, unit, most), [phase[name] for phase in phases])
    case = f"{case}, {STUCK} stuck"
    # To the mean of the phases around it, so that what drifts is for neither.
    around = [(one["p99"] + other["p99"]) / 2 for one, other in pairwise(without)]
    ratios = [phase["p99"] / each for phase, each in zip(stuck, around, strict=True)]
    _add(report, case, ("p99 to that with none stuck", "times", MOST_RATIO), ratios)
    # Summed up: a median would hide a phase in which something is missing.
    for name in ("received + conflated - produced", "last values missing", "missed by others"):
        _add(report, case, (name, "updates", 0.0), [sum(phase[name] for phase in (*without, *stuck))])


def _add(report: Report, case: str, measure_: tuple[str, str, float | None], values: Sequence[float]) -> None:
    name, unit, most = measure_
    median = statistics.median(values)
    target, met = (f"at most {most:g}", median <= most) if most is not None else ("", None)
    report.add("defistream", case, name, values, unit, target=target, met=met)


async def _phase(
    system: BenchSystem, reader: Reader, options: Options, sockets: int, rate: float, *, stuck: bool
) -> dict[str, float]:
    seconds = options.pick(15.0, 1.0)
    async with _the_ten(system) as ten, _Feed(system) as feed:
        for each in ten:
            each.read(not stuck)
        await feed.write(FILLING, rate=options.pick(FILLING_RATE, 120.0))
        # The load's updates lie behind those: when they came, the ten are full, and nothing of it is left to do.
        await reader.order("reset")
        led = await system.produce(rate=rate, seconds=options.pick(3.0, 0.5), rooms=ROOMS)
        await reader.wait(round(led["published"] * sockets / ROOMS), LATE_SECONDS)
        await reader.order("reset")
        feeding = asyncio.create_task(feed.write(round(RATE_EACH * seconds), rate=RATE_EACH))
        produced = await system.produce(rate=rate, seconds=seconds, rooms=ROOMS)
        expected = round(produced["published"] * sockets / ROOMS)
        got = await reader.wait(expected, LATE_SECONDS)
        await feeding
        resident = resident_mib(system.system.gateway.pid)
        for each in ten:
            each.read(True)
        told = await _told(ten, feed)
    return {
        "p50": percentile_of_buckets(got["buckets"], 0.5),
        "p99": percentile_of_buckets(got["buckets"], 0.99),
        "gateway's growth": resident,
        "missed by others": expected - got["updates"],
        **told,
    }


@contextlib.asynccontextmanager
async def _the_ten(system: BenchSystem) -> AsyncIterator[list[KeepingSocket]]:
    """Each subscribed to entities of its own, so that none shares what waits with another."""
    keys = system.keys.read_text().split()
    port = system.system.gateway.port
    async with contextlib.AsyncExitStack() as stack:
        ten = []
        for number in range(STUCK):
            connection = await connected(HOST, port, SEGMENT_BYTES)
            one = await KeepingSocket.connect(
                HOST, port, PATH, keys[number % len(keys)], lambda _age: None, connection=connection
            )
            stack.callback(one.close)
            asked = {"tokenIds": [_token(number, entity) for entity in range(ENTITIES)]}
            one.send(json.dumps({"type": "subscribe", "channel": "prices", "filters": asked}).encode())
            await one.reply(b"subscribed")
            ten.append(one)
        yield ten


async def _told(ten: Sequence[KeepingSocket], feed: _Feed) -> dict[str, float]:
    """Once they have read all: how far received and conflated are from what was produced, summed up."""
    await asyncio.gather(*(one.until(lambda one: _heard(one) >= feed.written, within=LATE_SECONDS) for one in ten))
    stale = 0
    for number, one in enumerate(ten):
        last = {update["tokenId"]: update["data"]["n"] for update in map(json.loads, one.received)}
        stale += sum(last.get(token) != written for token, written in feed.last[number].items())
    return {
        "received + conflated - produced": sum(abs(_heard(one) - feed.written) for one in ten),
        "last values missing": stale,
        "conflated": sum(map(_conflated, ten)),
    }


def _heard(one: KeepingSocket) -> int:
    return len(one.received) + _conflated(one)


def _conflated(one: KeepingSocket) -> int:
    return sum(json.loads(text)["n"] for _, text in one.messages if text.startswith(b'{"type":"conflated"'))


def _token(reader: int, entity: int) -> str:
    return f"stuck-{reader}-{entity}"


class _Feed:
    """Writes the updates of the ten. `written`: how many each got; `last`: the number of the last one of each entity, a reader."""

    def __init__(self, system: BenchSystem) -> None:
        self.written = 0
        self.last: list[dict[str, int]] = [{} for _ in range(STUCK)]
        self._topic = system.prices
        self._producer = AIOKafkaProducer(bootstrap_servers=system.servers.kafka, acks="all")

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def write(self, updates: int, *, rate: float) -> None:
        """So many updates for each of the ten, at `rate` a second each; all are acknowledged at the end."""
        begun, sent = time.perf_counter(), []
        for number in range(updates):
            for reader in range(STUCK):
                await asyncio.sleep(max(0.0, begun + (number + reader / STUCK) / rate - time.perf_counter()))
                sent.append(await self._send(reader))
            self.written += 1
        await asyncio.gather(*sent)

    async def _send(self, reader: int) -> asyncio.Future[object]:
        token = _token(reader, self.written % ENTITIES)
        self.last[reader][token] = self.written
        head = f'{{"type":"price_update","tokenId":"{token}","value":1.5,"data":{{"n":{self.written},"pad":"'
        body = (head + "x" * (UPDATE_BYTES - len(head) - 3) + '"}}').encode()
        made: asyncio.Future[object] = await self._producer.send(self._topic, body, key=token.encode())
        return made
