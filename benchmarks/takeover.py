"""Takeover: one of two routers is killed; seconds until every partition flows again, and whether every acknowledged update came once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.suite import Options, Report, progress
from benchmarks.systems import BenchSystem, running_system
from common.channels import Channel
from tests.support.client import WAYS, Client
from tests.support.producer import Producer, Published
from tests.support.routers import two_routers
from tests.support.samples import unique, update

RATE, MOST_SECONDS, LATE_SECONDS = 100.0, 10.0, 30.0
CHANNELS = tuple(channel.value for channel in Channel)


@dataclass(frozen=True, slots=True)
class Written:
    """`at`: when it was acknowledged, by the monotonic clock."""

    published: Published
    at: float


async def measure(options: Options) -> Report:
    """Seconds from `kill -9` to the first update since of the last partition to flow; updates missing and repeated."""
    report = Report("takeover")
    async with asyncio.timeout(options.limit), running_system(options, sockets=options.rounds) as system:
        progress(f"takeover: two routers on {system.servers.kind} servers")
        found = [await _killed(system) for _ in range(options.rounds)]
    case = f"kill -9 of one of two routers, {len(CHANNELS)} channels, {RATE:g} updates/s"
    seconds = [each["seconds"] for each in found]
    median = statistics.median(seconds)
    target = f"at most {MOST_SECONDS:g}"
    report.add("defistream", case, "until all flow again", seconds, "s", target=target, met=median <= MOST_SECONDS)
    for name in ("missing", "repeated"):
        # Summed up: a median would hide the one that was wrong.
        total = sum(each[name] for each in found)
        report.add("defistream", case, name, total, "updates", target="at most 0", met=total == 0)
    return report


async def _killed(system: BenchSystem) -> dict[str, float]:
    _other, doomed = await two_routers(system.system)
    client = await Client.open(system.system.gateway.realtime, WAYS["x_api_key"](system.keys.read_text().split()[0]))
    token = unique("token")
    try:
        await client.expect("authenticated")
        for channel in CHANNELS:
            await client.subscribe(channel, {"tokenIds": [token]})
        async with _writing(system, token) as written:
            await client.until(lambda: len(client.updates) > RATE, "updates flow", within=LATE_SECONDS)
            doomed.kill()
            killed = time.monotonic()
            flows = _flows(client, written, killed)
            await client.until(lambda: next(flows), "updates flow again", within=LATE_SECONDS)
            seconds = time.monotonic() - killed
        with contextlib.suppress(AssertionError):
            # What does not come is counted as missing.
            await client.expect_updates(*(each.published for each in written), within=LATE_SECONDS)
        came = Counter(client.update_ids)
        missing = sum((each.published.channel, each.published.id) not in came for each in written)
        return {"seconds": seconds, "missing": missing, "repeated": sum(came.values()) - len(came)}
    finally:
        await client.close()


def _flows(client: Client, written: Sequence[Written], since: float) -> Iterator[bool]:
    """At each step whether every partition that was written to before has brought an update that was written since."""
    silent = {_partition(each.published) for each in written if each.at <= since}
    news: set[tuple[str, str]] = set()
    seen, looked = len(client.update_ids), len(written)
    while True:
        news |= {(each.published.channel, each.published.id) for each in written[looked:]}
        looked = len(written)
        ids = client.update_ids
        silent -= {(channel, int(name.partition(":")[0])) for channel, name in ids[seen:] if (channel, name) in news}
        seen = len(ids)
        yield not silent


def _partition(published: Published) -> tuple[str, int]:
    return published.channel, published.partition


@contextlib.asynccontextmanager
async def _writing(system: BenchSystem, token: str) -> AsyncIterator[list[Written]]:
    """Updates of the token to every partition in turn, until the end; those that are acknowledged."""
    written: list[Written] = []
    async with Producer(system.servers.kafka, system.system.environment["TOPIC_PREFIX"]) as producer:
        places = [(channel, number) for channel in CHANNELS for number in await producer.partitions(channel)]

        async def write() -> None:
            begun = time.perf_counter()
            for number, (channel, partition) in enumerate(itertools.cycle(places)):
                await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
                made = update(channel, tokenId=token, value=number)
                written.append(Written(await producer.publish(made, partition=partition), time.monotonic()))

        writing = asyncio.create_task(write())
        try:
            yield written
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
