"""Fan-out: frames a second of one gateway core, beside a C program that only sends, and beside what a user would otherwise take.

Of the gateway all is its own but the fetch: encoded deliveries are handed to its reader where a Kafka fetch would hand them
(`benchmarks.gateway_core`). Server and reader have a core each.
"""

from __future__ import annotations

import asyncio

from benchmarks.samples import FRAME_BYTES
from benchmarks.subjects import RIVALS, Name, Subject, key_file, opened
from benchmarks.suite import Options, Report, Skipped, progress

ONE, MANY = 1, 1000
OWN: tuple[Name, ...] = ("floor", "floor, joined", "defistream")
LATE_SECONDS = 15.0
SATURATED = 64
"""Updates a tick where whatever more a server is given waits: ours joins all that came meanwhile, centrifuge 16 a frame."""


async def measure(options: Options) -> Report:
    """Updates reaching the reader a second (by the clock, and by the server's CPU), for each number of sockets, updates and rooms."""
    report = Report("fan-out")
    for sockets in options.pick((1000, 10_000), (100,)):
        for rooms in (ONE, options.pick(MANY, 10)):
            for name in (*OWN, *RIVALS):
                if name.startswith("floor") and rooms != ONE:
                    continue
                try:
                    await _subject(name, sockets, rooms, options, report)
                except Skipped as reason:
                    report.skip(name, reason)
    _ratios(report)
    return report


async def _subject(name: Name, sockets: int, rooms: int, options: Options, report: Report) -> None:
    progress(f"fan-out: {name}, {sockets:,} sockets in {rooms:,} rooms")
    with key_file(max(1, sockets // 100)) as keys:
        async with asyncio.timeout(options.limit), opened(name) as subject:
            await subject.open(sockets, rooms=rooms, keys=keys)
            for updates in options.pick((1, 4, 16, SATURATED), (1, 4)):
                await _case(subject, sockets, rooms, updates, options=options, report=report)


async def _case(subject: Subject, sockets: int, rooms: int, updates: int, *, options: Options, report: Report) -> None:
    by_clock, by_cpu, shares, lost = [], [], [], []
    which = case(sockets, rooms, updates)
    for _ in range(options.rounds):
        await subject.reader.order("reset")
        ran = await subject.run(options.pick(2.0, 0.2), updates, FRAME_BYTES, rooms)
        expected = round(ran["ticks"] * updates * sockets)
        got = await subject.reader.wait(expected, LATE_SECONDS)
        arrived = got["updates"]
        if arrived < expected and subject.name in OWN:
            report.skip(f"{subject.name} {which}", f"only {arrived:,} of {expected:,} arrived")
            return
        lost.append(100 * (1 - arrived / expected))
        # What counts has arrived: a reader that is behind at the end makes the run longer.
        behind = max(0.0, got["last"] - ran["seconds"] - ran.get("feeding", 0.0))
        by_clock.append(arrived / (ran["seconds"] + behind))
        by_cpu.append(arrived / max(ran["cpu"], 1e-6))
        shares.append(got["cpu"] / got["wall"])
    if any(lost):
        report.add(subject.name, which, "lost", lost, "%")
    report.add(subject.name, which, "delivered", by_clock, "updates/s")
    report.add(subject.name, which, "delivered by CPU", by_cpu, "updates/CPU s")
    report.add(subject.name, which, "reader's share of a core", shares, "core")


def case(sockets: int, rooms: int, updates: int) -> str:
    where = "one room" if rooms == ONE else f"{rooms:,} rooms"
    return f"{sockets:,} sockets, {where}, {updates} a tick"


def _ratios(report: Report) -> None:
    """Ours against the others, of the same run; targets where one was set."""
    for found in [
        each for each in report.results if each.subject == "defistream" and each.measure == "delivered by CPU"
    ]:
        single = found.case.endswith(" 1 a tick")
        for name in ("floor", "starlette", "centrifuge", "nchan"):
            if name == "centrifuge" and single:
                # It joins what waits, so all its figures are those of a saturated server.
                continue
            other = report.value(name, found.case, found.measure)
            if other is None or not other:
                continue
            target = _target(name, found.case, single)
            ratio = found.value / other
            more = {"target": f"at least {target}", "met": ratio >= target} if target else {}
            report.add("defistream", found.case, f"times {name}", ratio, "x", **more)
        if found.case == case(1000, ONE, SATURATED):
            report.add(
                "defistream",
                found.case,
                "saturated",
                found.value,
                "updates/CPU s",
                target="at least 1,500,000",
                met=found.value >= 1_500_000,
            )


def _target(name: str, which: str, single: bool) -> float | None:
    if which.startswith("1,000 sockets, one room"):
        return {
            "floor": 0.7 if single else None,
            "centrifuge": 2.5 if which.endswith(f" {SATURATED} a tick") else None,
            "starlette": 2.0,
        }.get(name)
    return None
