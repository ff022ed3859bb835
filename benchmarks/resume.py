"""Resume: a gateway is killed, and all of its clients go on from their cursor at another one, all at the same moment."""

from __future__ import annotations

import asyncio
import json

from benchmarks.processes import CpuShares
from benchmarks.samples import token_of
from benchmarks.sockets import Socket
from benchmarks.suite import Options, Report, percentile_of_buckets, progress
from benchmarks.systems import PATH, BenchSystem, running_system
from benchmarks.talking import Reader
from tests.support.system import Service

ROOMS, RATE, MISSED_SECONDS = 100, 250.0, 60.0
FASTER = 10
"""What is missed is written so many times faster: what counts is how much it is."""
ALL_SECONDS, MOST_READS = 20.0, 2.0
LATE_SECONDS = 10.0
_MEASURES = (
    ("until the last has all", "s", ALL_SECONDS),
    ("to the end of a replay, p50", "ms", None),
    ("errors", "sockets", 0.0),
    ("missing or repeated", "updates", 0.0),
    ("reads of Kafka a partition", "reads", MOST_READS),
    ("passes a partition", "passes", None),
    ("gateway's CPU", "s", None),
    ("router's CPU", "s", None),
    ("reader's CPU", "s", None),
)


async def measure(options: Options) -> Report:
    """Seconds until every client has what it missed and is live, live updates flowing; and how often a partition was read for it."""
    report = Report("resume")
    sockets = options.pick(10_000, 300)
    missed = round(RATE * options.pick(MISSED_SECONDS, 2.0))
    # By the router that routed it, which has it in memory, and by one that was started since.
    origins = options.pick(("memory", "Kafka"), ("Kafka",))
    cases = {origin: f"{sockets:,} clients, {missed:,} updates missed, from {origin}" for origin in origins}
    found: dict[str, list[dict[str, float]]] = {origin: [] for origin in origins}
    # In turn, as a broker that has just started is slower than later on.
    for turn in range(options.pick(min(options.rounds, 3), 1)):
        for origin in origins:
            progress(f"resume: {cases[origin]}, round {turn + 1}")
            found[origin].append(await _round(options, sockets, missed, origin))
    for origin, rounds in found.items():
        for name, unit, most in _MEASURES:
            values = [each[name] for each in rounds]
            median = sorted(values)[len(values) // 2]
            target, met = (f"at most {most:g}", median <= most) if most is not None else ("", None)
            report.add("defistream", cases[origin], name, values, unit, target=target, met=met)
    return report


async def _round(options: Options, sockets: int, missed: int, origin: str) -> dict[str, float]:
    async with asyncio.timeout(options.limit), running_system(options, sockets=sockets, gateways=2) as system:
        async with system.reader() as before:
            await system.open(before, sockets, rooms=ROOMS)
            cursor = await _cursor(system, before, sockets)
            system.system.gateway.kill()
        rate = RATE * FASTER
        await system.produce(rate=rate, seconds=missed / rate, rooms=ROOMS)
        if origin == "Kafka":
            await _new_router(system)
        return await _resume(system, sockets, missed, cursor, seconds=options.pick(20.0, 2.0))


async def _cursor(system: BenchSystem, reader: Reader, sockets: int) -> str:
    """Where everybody stands, once each has had an update."""
    await reader.order("reset")
    await system.produce(rate=1000.0, seconds=ROOMS / 1000, rooms=ROOMS)
    await reader.wait(sockets, LATE_SECONDS)
    key = system.keys.read_text().split()[0]
    socket = await Socket.connect("127.0.0.1", system.system.gateway.port, PATH, key, lambda _age: None)
    socket.send(json.dumps({"type": "subscribe", "channel": "prices", "filters": {"tokenIds": [token_of(0)]}}).encode())
    answer = json.loads(await socket.reply(b"subscribed"))
    socket.close()
    return str(answer["cursor"])


async def _new_router(system: BenchSystem) -> None:
    """One that has nothing in memory of what was routed before."""
    (old,) = system.system.running("router")
    await asyncio.to_thread(old.stop)
    await system.system.start_meanwhile("router")


async def _resume(system: BenchSystem, sockets: int, missed: int, cursor: str, *, seconds: float) -> dict[str, float]:
    (router,) = system.system.running("router")
    partitions = cursor.count(":")
    async with system.reader() as reader:
        live = asyncio.create_task(system.produce(rate=RATE, seconds=seconds, rooms=ROOMS))
        shares = CpuShares({"gateway": system.system.gateway.pid, "router": router.pid, "reader": reader.pid})
        reads, passes = _counts(router)
        came = await system.open_at_once(reader, sockets, rooms=ROOMS, limit=120.0, since=cursor)
        taken = shares.since()
        if came["failed"]:
            progress(f"  {came['failed']} of {sockets:,} were refused: {came['error']}")
        more_reads, more_passes = _counts(router)
        published = missed + round((await live)["published"])
        expected = published * sockets // ROOMS
        got = await reader.wait(expected, LATE_SECONDS)
    return {
        "until the last has all": came["seconds"],
        "to the end of a replay, p50": percentile_of_buckets(came["buckets"], 0.5),
        "errors": came["failed"],
        "missing or repeated": abs(expected - got["updates"]),
        "reads of Kafka a partition": (more_reads - reads) / partitions,
        "passes a partition": (more_passes - passes) / partitions,
        **{f"{name}'s CPU": share * came["seconds"] for name, share in taken.items()},
    }


def _counts(router: Service) -> tuple[float, float]:
    return router.count("router_replay_reads_total"), router.count("router_replay_passes_total")
