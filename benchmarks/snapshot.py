"""Snapshot: the last values of 6,600 protocols above a bound, for one client after the other, while updates go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.keeping import KeepingSocket
from benchmarks.suite import Options, Report, progress
from benchmarks.systems import PATH, BenchSystem, running_system
from tests.support.waiting import eventually

RATE, ASKS, PAUSE_SECONDS = 100.0, 20, 1.0
"""Live updates a second; how many clients ask, and how long after one another."""
MOST_VALUE, LEAST_VALUE = 6_600.0, 600.0
"""Values are spread evenly below the first; some 6,000 of 6,600 are not below the second, which the clients ask for."""
MOST_MS, LATE_SECONDS = 500.0, 10.0
SETTLED_SECONDS = 1.0
"""What was acknowledged so long before a client asked must be in its snapshot; what came since may follow it live."""
FAULTS = ("missing", "stale", "wrong", "never came")


@dataclass(slots=True)
class Version:
    """One update of a protocol. `acknowledged`: by the monotonic clock, infinite while it is not."""

    number: int
    value: float
    acknowledged: float = float("inf")


@dataclass(slots=True)
class Ledger:
    """All that was written, by protocol, in order."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    numbers: int = 0

    def new(self, protocol: str, value: float) -> Version:
        self.numbers += 1
        made = Version(self.numbers, value)
        self.versions.setdefault(protocol, []).append(made)
        return made


async def measure(options: Options) -> Report:
    """Milliseconds from `subscribe` to `snapshot_end`, and whether each snapshot was complete and right and what follows it came."""
    report = Report("snapshot")
    protocols, asks = options.pick(6_600, 660), options.pick(ASKS, 3)
    async with asyncio.timeout(options.limit), running_system(options, sockets=asks) as system:
        progress(f"snapshot: {protocols:,} protocols on {system.servers.kind} servers")
        async with _written(system, protocols) as ledger:
            # Not counted: until the router has read all of them.
            await eventually(partial(_all_there, system, ledger), "a snapshot of all", limit=options.pick(120.0, 30.0))
            found = []
            for _ in range(asks):
                await asyncio.sleep(options.pick(PAUSE_SECONDS, 0.2))
                found.append(await _ask(system, ledger))
    matching = statistics.median(each["count"] for each in found)
    _report(report, found, f"{protocols:,} protocols, {matching:,.0f} match, {RATE:g} updates/s")
    return report


def _report(report: Report, found: Sequence[Mapping[str, float]], case: str) -> None:
    took = [each["ms"] for each in found]
    for name, values in (("to snapshot_end, p50", took), ("to snapshot_end, worst", [max(took)])):
        met = statistics.median(values) <= MOST_MS
        report.add("defistream", case, name, values, "ms", target=f"at most {MOST_MS:g}", met=met)
    for name in FAULTS:
        # Summed up: a median would hide the one that was wrong.
        total = sum(each[name] for each in found)
        report.add("defistream", case, name, total, "protocols", target="at most 0", met=total == 0)


async def _all_there(system: BenchSystem, ledger: Ledger) -> bool:
    return not (await _ask(system, ledger, settled_seconds=0.0))["missing"]


async def _ask(system: BenchSystem, ledger: Ledger, *, settled_seconds: float = SETTLED_SECONDS) -> dict[str, float]:
    """A client of its own asks for a snapshot, and reads on until it has what was written meanwhile."""
    key = system.keys.read_text().split()[0]
    client = await KeepingSocket.connect("127.0.0.1", system.system.gateway.port, PATH, key, lambda _age: None)
    try:
        asked = time.monotonic()
        filters = {"minValue": LEAST_VALUE}
        command = {"type": "subscribe", "channel": "tvl", "filters": filters, "snapshot": True}
        client.send(json.dumps(command).encode())
        end = json.loads(await client.reply(b"snapshot_end"))
        ended = time.monotonic()
        # Live updates of a partition that is through may come before the end of all, and are not in its count.
        before = next(number for number, text in client.messages if text.startswith(b'{"type":"snapshot_end"'))
        snapshot = [json.loads(text) for text in client.received[:before]]
        faults = judged(snapshot, ledger.versions, asked - settled_seconds)
        due = due_by(ended, ledger.versions)
        await client.until(lambda one: not _behind(one, due), within=LATE_SECONDS)
        return {"ms": (ended - asked) * 1000, "count": end["count"], **faults, "never came": len(_behind(client, due))}
    finally:
        client.close()


def judged(
    snapshot: Sequence[Mapping[str, Any]], versions: Mapping[str, Sequence[Version]], settled: float
) -> dict[str, int]:
    """How many protocols are missing, older than at `settled`, or wrong: below the bound, never so, or with an older one last. Pure."""
    seen: dict[str, int] = {}
    wrong = missing = stale = 0
    for update in snapshot:
        protocol, number = update["protocolId"], update["data"]["n"]
        written = {each.number: each.value for each in versions.get(protocol, ())}
        right = written.get(number) == update["value"] >= LEAST_VALUE
        wrong += not right or number <= seen.get(protocol, 0)
        seen[protocol] = number
    for protocol, writes in versions.items():
        least = max((each.number for each in writes if each.acknowledged <= settled), default=0)
        if protocol in seen:
            stale += seen[protocol] < least
        else:
            # Where any since is below the bound, it may be that which the snapshot was taken of.
            since = [each for each in writes if each.number >= least]
            missing += bool(least) and all(each.value >= LEAST_VALUE for each in since)
    return {"missing": missing, "stale": stale, "wrong": wrong}


def due_by(moment: float, versions: Mapping[str, Sequence[Version]]) -> dict[str, int]:
    """The numbers that a client must come to have, or newer ones: of what was acknowledged by then and is not below the bound. Pure."""
    last = {
        protocol: max((each for each in written if each.acknowledged <= moment), key=_number, default=None)
        for protocol, written in versions.items()
    }
    return {protocol: each.number for protocol, each in last.items() if each and each.value >= LEAST_VALUE}


def _number(version: Version) -> int:
    return version.number


def _behind(client: KeepingSocket, due: Mapping[str, int]) -> list[str]:
    """Protocols of which it does not have what is due."""
    has = {update["protocolId"]: update["data"]["n"] for update in map(json.loads, client.received)}
    return [protocol for protocol, number in due.items() if has.get(protocol, 0) < number]


@contextlib.asynccontextmanager
async def _written(system: BenchSystem, protocols: int) -> AsyncIterator[Ledger]:
    """Once each protocol has a value; from there live updates are written until the end."""
    ledger, chosen = Ledger(), random.Random(1)
    topic = f"{system.system.environment['TOPIC_PREFIX']}updates.tvl"
    kafka = AIOKafkaProducer(bootstrap_servers=system.servers.kafka, acks="all")
    await kafka.start()
    try:
        names = [f"protocol-{number}" for number in range(protocols)]
        await asyncio.gather(*[await _write(kafka, topic, ledger, name, chosen) for name in names])
        live = asyncio.create_task(_go_on(kafka, topic, ledger, names, chosen))
        yield ledger
        live.cancel()
        await asyncio.gather(live, return_exceptions=True)
    finally:
        await kafka.stop()


async def _go_on(kafka: Any, topic: str, ledger: Ledger, names: Sequence[str], chosen: random.Random) -> None:
    begun, first = time.perf_counter(), ledger.numbers
    while True:
        await asyncio.sleep(max(0.0, begun + (ledger.numbers - first) / RATE - time.perf_counter()))
        await _write(kafka, topic, ledger, chosen.choice(names), chosen)


async def _write(kafka: Any, topic: str, ledger: Ledger, name: str, chosen: random.Random) -> asyncio.Future[object]:
    """A new value, on its way; the ledger learns when it is acknowledged."""
    version = ledger.new(name, round(chosen.random() * MOST_VALUE, 2))
    data = {"n": version.number, "name": name, "category": "Lending", "tvl": version.value, "pad": "x" * 100}
    update = {"type": "tvl_update", "protocolId": name, "chains": ["ethereum"], "value": version.value, "data": data}
    sent: asyncio.Future[object] = await kafka.send(topic, json.dumps(update).encode(), key=name.encode())
    sent.add_done_callback(lambda _done: setattr(version, "acknowledged", time.monotonic()))
    return sent
