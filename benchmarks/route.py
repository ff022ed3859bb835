"""Route: updates a second of one router's process, from Kafka to deliveries that Kafka has acknowledged and offsets that are committed.

The router knows its rooms, is held (SIGSTOP) while updates are written, and is let go; the time ends when the group's committed
offsets are at the topic's end. By the clock, and by the router's CPU: with fewer cores than processes, the broker takes its part
of the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import psutil
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks import mixes
from benchmarks.suite import Options, Report, progress
from benchmarks.systems import environment
from common.channels import Channel
from common.events import Interest, SlotTaken
from common.identifiers import FencingEpoch, GatewayId, Slot
from common.topics import Topics, interest_key, slot_key
from tests.support.servers import Servers
from tests.support.system import Service, System
from tests.support.waiting import eventually

EPOCH, GATEWAY = FencingEpoch(1), GatewayId("bench")
TARGET = 40_000.0
ALONE = {
    "router_registry": "false",
    "router_reaper": "false",
    "router_bridge": "false",
    "router_session_timeout": "30s",
}
"""Only routing, and a session that outlives the time for which the router is held."""
_POLL_SECONDS = 0.05


async def measure(options: Options) -> Report:
    """Updates a second for one and for eight slots."""
    report = Report("route")
    rooms = options.pick(100_000, 500)
    servers = options.given_servers
    with tempfile.TemporaryDirectory(prefix="defistream-bench-") as folder:
        for slots in options.pick((1, 8), (8,)):
            progress(f"route: {rooms:,} rooms in {slots} slots, on {servers.kind} servers")
            async with asyncio.timeout(options.limit):
                await case(rooms, slots, servers, folder=Path(folder), options=options, report=report)
    return report


async def case(rooms: int, slots: int, servers: Servers, *, folder: Path, options: Options, report: Report) -> None:
    """One number of rooms and slots."""
    async with _router(servers, folder) as (system, router, producer):
        topics = Topics(system.environment["TOPIC_PREFIX"])
        await _want(producer, topics, rooms, slots)
        await eventually(lambda: _knows(router, rooms), "the router knows its rooms", limit=120)
        updates = mixes.updates(options.pick(100_000, 2000))
        by_clock, by_cpu = [], []
        for _ in range(options.rounds):
            seconds, cpu = await _once(router, producer, topics, updates, servers)
            by_clock.append(len(updates) / seconds)
            by_cpu.append(len(updates) / cpu)
    which = f"{rooms:,} rooms, {slots} slot{'s' if slots > 1 else ''}"
    checked = rooms == 100_000
    median = sorted(by_cpu)[len(by_cpu) // 2]
    target, met = (f"at least {TARGET:,.0f}", median >= TARGET) if checked else ("", None)
    report.add("defistream", which, "routed", by_clock, "updates/s")
    report.add("defistream", which, "routed by CPU", by_cpu, "updates/CPU s", target=target, met=met)


@contextlib.asynccontextmanager
async def _router(servers: Servers, folder: Path) -> AsyncIterator[tuple[System, Service, AIOKafkaProducer]]:
    system = System(environment(servers), folder)
    try:
        router = await asyncio.to_thread(system.start, "router", **ALONE)
        producer = AIOKafkaProducer(bootstrap_servers=servers.kafka, acks="all", max_batch_size=256 * 1024, linger_ms=5)
        await producer.start()
        try:
            yield system, router, producer
        finally:
            await producer.stop()
    finally:
        await asyncio.to_thread(system.close)


async def _want(producer: AIOKafkaProducer, topics: Topics, count: int, slots: int) -> None:
    """Say what gateways in these slots would say."""
    for number in range(slots):
        taken = SlotTaken(slot=Slot(number), epoch=EPOCH, gateway=GATEWAY)
        await producer.send_and_wait(topics.rooms_interest, taken.encode(), key=slot_key(Slot(number)))
    await _write(producer, topics.rooms_interest, _interest(count, slots))


def _interest(count: int, slots: int) -> Iterable[tuple[bytes, bytes]]:
    for number, room in enumerate(mixes.rooms(count)):
        slot = Slot(number % slots)
        wanted = Interest(
            slot=slot,
            epoch=EPOCH,
            gateway=GATEWAY,
            room=room.id,
            channel=room.channel,
            filter=room.filter.to_json(),
            request=1,
        )
        yield interest_key(slot, room.id), wanted.encode()


async def _write(
    producer: AIOKafkaProducer, topic: str, records: Iterable[tuple[bytes, bytes]]
) -> dict[TopicPartition, int]:
    """Returns where each partition ends, for a group's committed offsets to reach."""
    futures = [await producer.send(topic, value, key=key) for key, value in records]
    ends: dict[TopicPartition, int] = {}
    for written in await asyncio.gather(*futures):
        partition = TopicPartition(written.topic, written.partition)
        ends[partition] = max(ends.get(partition, 0), written.offset + 1)
    return ends


async def _knows(router: Service, rooms: int) -> bool:
    return (await asyncio.to_thread(router.count, "router_rooms")) >= rooms


async def _once(
    router: Service, producer: AIOKafkaProducer, topics: Topics, updates: Iterable[bytes], servers: Servers
) -> tuple[float, float]:
    """Seconds of the clock, and of the router's CPU, until all is committed."""
    topic, group = topics.updates(Channel.PRICES), f"{topics.prefix}router"
    process = psutil.Process(router.pid)
    router.freeze()
    # Keys spread updates over the partitions as producers' do.
    ends = await _write(producer, topic, ((b"%d" % (number % 1000), body) for number, body in enumerate(updates)))
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka)
    await admin.start()
    try:
        used = sum(process.cpu_times()[:2])
        router.thaw()
        begun = time.perf_counter()
        while not await _committed(admin, group, ends):  # noqa: ASYNC110 - the broker tells only who asks
            await asyncio.sleep(_POLL_SECONDS)
        return time.perf_counter() - begun, sum(process.cpu_times()[:2]) - used
    finally:
        router.thaw()
        await admin.close()


async def _committed(admin: AIOKafkaAdminClient, group: str, ends: dict[TopicPartition, int]) -> bool:
    found = await admin.list_consumer_group_offsets(group, partitions=list(ends))
    return all(found[partition].offset >= end for partition, end in ends.items())
