"""Memory a connection: resident memory of the server's process, and bytes in Redis.

Resident memory is that of the gateway with all around it in memory (`benchmarks.gateway_core`), less what the process had before the first
socket; the kernel's buffers are not in it, for nobody. Redis: used memory of the whole system's registry (`benchmarks.redis_figures`).
"""

from __future__ import annotations

import asyncio

from benchmarks.redis_figures import until_registered, used_bytes
from benchmarks.subjects import RIVALS, Name, key_file, opened
from benchmarks.suite import Options, Report, Skipped, progress
from benchmarks.systems import running_system

KEYS_A_SOCKET = 0.1
"""Ten connections share a key and its user."""
RSS_TARGET_KB, REDIS_TARGET_BYTES, SHARE_OF_STARLETTE = 4.0, 2048, 0.2
_SETTLE_SECONDS = 0.5


async def measure(options: Options) -> Report:
    """KB a socket: idle, and authenticated with one and with ten subscriptions; then bytes in Redis."""
    report = Report("memory")
    sizes = options.pick((10_000, 19_000), (200,))
    for sockets in sizes:
        for subscriptions in (0, 1, 10):
            await _resident("defistream", sockets, subscriptions, options, report)
    for name in RIVALS:
        try:
            await _resident(name, sizes[0], 1, options, report)
        except Skipped as reason:
            report.skip(name, reason)
    _beside_starlette(report, sizes[0])
    await _redis(options, report)
    return report


async def _resident(name: Name, sockets: int, subscriptions: int, options: Options, report: Report) -> None:
    progress(f"memory: {name}, {sockets:,} sockets, {subscriptions} subscriptions")
    found = []
    for _ in range(options.rounds):
        with key_file(max(1, round(sockets * KEYS_A_SOCKET))) as keys:
            async with asyncio.timeout(options.limit), opened(name) as subject:
                await subject.open(10, rooms=1, keys=keys, subscriptions=subscriptions)
                before = subject.server.resident_bytes()
                await subject.open(sockets, rooms=max(1, sockets // 100), keys=keys, subscriptions=subscriptions)
                await asyncio.sleep(_SETTLE_SECONDS)
                found.append((subject.server.resident_bytes() - before) / sockets / 1024)
    target = f"at most {RSS_TARGET_KB:g}" if name == "defistream" and subscriptions == 1 and sockets == 10_000 else ""
    value = sorted(found)[len(found) // 2]
    met = value <= RSS_TARGET_KB if target else None
    report.add(name, case(sockets, subscriptions), "resident a connection", found, "KB", target=target, met=met)


def case(sockets: int, subscriptions: int) -> str:
    what = (
        "idle"
        if not subscriptions
        else f"authenticated, {subscriptions} subscription{'s' if subscriptions > 1 else ''}"
    )
    return f"{sockets:,} sockets, {what}"


def _beside_starlette(report: Report, sockets: int) -> None:
    ours, theirs = (
        report.value(name, case(sockets, 1), "resident a connection") for name in ("defistream", "starlette")
    )
    if ours and theirs:
        share = ours / theirs
        report.add(
            "defistream",
            case(sockets, 1),
            "share of starlette's",
            share,
            "x",
            target="at most 0.2",
            met=share <= SHARE_OF_STARLETTE,
        )


async def _redis(options: Options, report: Report) -> None:
    sockets = options.pick(10_000, 100)
    progress(f"memory: Redis, {sockets:,} connections")
    async with asyncio.timeout(options.limit), running_system(options, sockets=sockets) as system:
        before = await used_bytes(system.records)
        async with system.reader() as reader:
            await system.open(reader, sockets, rooms=max(1, sockets // 100))
            await until_registered(system.records, sockets)
            used = (await used_bytes(system.records) - before) / sockets
    report.add(
        "defistream",
        case(sockets, 1),
        "Redis a connection",
        used,
        "bytes",
        target=f"at most {REDIS_TARGET_BYTES}",
        met=used <= REDIS_TARGET_BYTES,
    )
