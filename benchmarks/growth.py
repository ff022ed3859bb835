"""Growth: how costs grow with sockets, rooms, partitions and slots: the points, and the exponent of a power law through them (least squares
of the logarithms). 0 means that it does not depend on it, 1 that it doubles with it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import mixes
from benchmarks.matching import in_own_process
from benchmarks.samples import FRAME_BYTES
from benchmarks.subjects import key_file, opened
from benchmarks.suite import Options, Report, progress
from common.channels import Channel
from common.deliveries import encode_segments
from common.identifiers import FencingEpoch, Generation, Slot
from router.index import RoomsIndex
from router.lanes import Lane, Origin
from router.routing import route_updates

MATCHING_SOCKETS = 100
LATE_SECONDS = 15.0
INDEPENDENT = 0.1
"""An exponent below this counts as "does not depend on it"."""


async def measure(options: Options) -> Report:
    """Curves and exponents."""
    report = Report("growth")
    await _fan_out(options, report)
    await _others(options, report)
    await _rooms(options, report)
    _slots(options, report)
    _partitions(options, report)
    return report


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Of the power law that fits (x, y) best."""
    logs = [(math.log(x), math.log(max(y, 1e-12))) for x, y in points]
    mean_x, mean_y = (sum(axis) / len(logs) for axis in zip(*logs, strict=True))
    slope: float = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    return slope


def _curve(
    report: Report, case: str, points: Sequence[tuple[int, float]], unit: str, most: float | None = None
) -> None:
    for x, y in points:
        report.add("defistream", case, f"{x:,}", y, unit)
    power = exponent(points)
    target, met = (f"under {most:g}", power < most) if most is not None else ("", None)
    report.add("defistream", case, "exponent", power, "", target=target, met=met)


async def _fan_out(options: Options, report: Report) -> None:
    """CPU of the gateway for one update to a room with all sockets, by their number."""
    progress("growth: fan-out by sockets of the room")
    sizes = options.pick((100, 300, 1000, 3000, 10_000), (50, 200))
    points = [(sockets, await _update_cost(sockets, others=0, options=options)) for sockets in sizes]
    _curve(report, "an update to a room, by its sockets", points, "us")


async def _others(options: Options, report: Report) -> None:
    """The same for a room of a hundred, by sockets of other rooms that are open beside it."""
    progress("growth: fan-out by sockets that an update does not match")
    sizes = options.pick((100, 1000, 10_000), (50, 200))
    points = [(others, await _update_cost(MATCHING_SOCKETS, others=others, options=options)) for others in sizes]
    _curve(
        report, f"an update to {MATCHING_SOCKETS} sockets, by sockets that it does not match", points, "us", INDEPENDENT
    )


async def _update_cost(sockets: int, *, others: int, options: Options) -> float:
    """Microseconds of the gateway's CPU for one update, one a tick."""
    with key_file(10) as keys:
        async with asyncio.timeout(options.limit), opened("defistream") as subject:
            await subject.open(sockets, rooms=1, keys=keys)
            if others:
                await subject.open_elsewhere(others, keys=keys)
            costs = []
            for _ in range(options.rounds):
                await subject.reader.order("reset")
                ran = await subject.run(options.pick(1.0, 0.2), 1, FRAME_BYTES, 1)
                await subject.reader.wait(round(ran["ticks"] * sockets), LATE_SECONDS)
                costs.append(ran["cpu"] / ran["ticks"] * 1e6)
    return sorted(costs)[len(costs) // 2]


async def _rooms(options: Options, report: Report) -> None:
    """A match, by rooms in the index."""
    progress("growth: match by rooms")
    points = []
    for rooms in options.pick((1000, 10_000, 100_000, 1_000_000), (500, 2000)):
        found = await in_own_process(
            "benchmarks.matching", rooms, options.rounds, options.pick(20_000, 1000), limit=options.limit
        )
        points.append((rooms, sorted(found["microseconds"])[options.rounds // 2]))
    _curve(report, "a match, by rooms", points, "us", 1.0)


@dataclass(frozen=True, slots=True)
class _Source:
    """A record as routing reads it."""

    offset: int
    value: bytes
    key: bytes | None = b"key"
    timestamp: int = 0


def _slots(options: Options, report: Report) -> None:
    """Routing an update, from its record to encoded deliveries, by slots among which the same rooms are spread."""
    progress("growth: route by slots")
    points = [(slots, _route_cost(options, slots=slots, partitions=1)) for slots in (1, 4, 16, 64)]
    _curve(report, "routing an update, by slots", points, "us")


def _partitions(options: Options, report: Report) -> None:
    """The same, by partitions over which the updates of a tick are spread."""
    progress("growth: route by partitions")
    points = [(partitions, _route_cost(options, slots=4, partitions=partitions)) for partitions in (1, 4, 16)]
    _curve(report, "routing an update, by partitions", points, "us")


def _route_cost(options: Options, *, slots: int, partitions: int) -> float:
    index = RoomsIndex()
    for number, room in enumerate(mixes.rooms(options.pick(20_000, 500))):
        index.add(Slot(number % slots), room)
    records = [_Source(offset, body) for offset, body in enumerate(mixes.updates(options.pick(5000, 500)))]
    return _median(lambda: _route(index, records, partitions), options.rounds) / len(records) * 1e6


def _route(index: RoomsIndex, records: Sequence[_Source], partitions: int) -> None:
    """In ticks of 500 updates: match, lanes, one encoded record a slot."""
    for start in range(0, len(records), 500):
        lanes: dict[Slot, Lane] = {}
        tick = records[start : start + 500]
        for partition in range(partitions):
            origin = Origin(Channel.PRICES.value, partition, Generation(1), "bench")
            for slot, items in route_updates(
                Channel.PRICES, partition, tick[partition::partitions], index
            ).items.items():
                lanes.setdefault(slot, Lane()).add(origin, items, None, FencingEpoch(1))
        for lane in lanes.values():
            segments, _ = lane.take(1_000_000)
            encode_segments(1, 0, segments)


def _median(work: Callable[[], None], rounds: int) -> float:
    """CPU seconds."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return sorted(taken)[rounds // 2]
