"""Connect storm: everybody connects, authenticates and subscribes at once, while others already receive. A first round is not counted."""

from __future__ import annotations

import asyncio

from benchmarks.suite import Options, Report, percentile_of_buckets, progress
from benchmarks.systems import BenchSystem, running_system

RATE, EARLIER, ROOMS = 100.0, 100, 100
LATE_SECONDS = 10.0
ALL_SECONDS, P99_MS, OTHERS_P99_MS = 10.0, 5000.0, 250.0


async def measure(options: Options) -> Report:
    """Seconds until the last `subscribed`, its p99, errors; and the latency of updates to sockets that were open before."""
    report = Report("connect-storm")
    sockets = options.pick(10_000, 300)
    async with asyncio.timeout(options.limit), running_system(options, sockets=sockets + EARLIER) as system:
        progress(f"connect-storm: {sockets:,} sockets on {system.servers.kind} servers")
        if not options.quick:
            # Kafka compiles itself in its first minute, on the same two cores.
            await _storm(system, sockets, options)
        found = [await _storm(system, sockets, options) for _ in range(options.rounds)]
    case = f"{sockets:,} at once"
    for measure_, unit, most in (
        ("until the last subscribed", "s", ALL_SECONDS),
        ("to subscribed, p99", "ms", P99_MS),
        ("errors", "sockets", 0.0),
        ("updates to open sockets, p99", "ms", OTHERS_P99_MS),
        ("updates to open sockets, p50", "ms", None),
    ):
        values = [each[measure_] for each in found]
        median = sorted(values)[len(values) // 2]
        target, met = (f"at most {most:g}", median <= most) if most is not None else ("", None)
        report.add("defistream", case, measure_, values, unit, target=target, met=met)
    return report


async def _storm(system: BenchSystem, sockets: int, options: Options) -> dict[str, float]:
    async with system.reader() as earlier, system.reader() as storm:
        await system.open(earlier, EARLIER, rooms=1)
        seconds = options.pick(15.0, 2.0)
        producing = asyncio.create_task(system.produce(rate=RATE, seconds=seconds, rooms=1))
        await earlier.order("reset")
        await asyncio.sleep(options.pick(1.0, 0.3))
        came = await system.open_at_once(storm, sockets, rooms=ROOMS, limit=60.0)
        # As they were while it ran: later updates would make it look better.
        during = await earlier.wait(0, 0.0)
        produced = await producing
        await earlier.wait(round(produced["published"] * EARLIER), LATE_SECONDS)
        return {
            "until the last subscribed": came["seconds"],
            "to subscribed, p99": percentile_of_buckets(came["buckets"], 0.99),
            "errors": came["failed"],
            "updates to open sockets, p99": percentile_of_buckets(during["buckets"], 0.99),
            "updates to open sockets, p50": percentile_of_buckets(during["buckets"], 0.5),
        }
