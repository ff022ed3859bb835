"""Match: what an update costs the router's index, and what a room takes there. Each size in a process of its own.

Time is that of `RoomsIndex.match` alone (rooms found and told apart by slot), on decoded updates, by the process's CPU clock.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time

import orjson
import psutil

from benchmarks import mixes
from benchmarks.suite import Options, Report, progress
from benchmarks.talking import ROOT, SERVER_CORE, pinned, python
from common.channels import Channel
from common.deliveries import count_rooms
from common.identifiers import Slot
from common.rooms import parse_room
from common.updates import decode_update
from router.index import RoomsIndex

SLOTS = 4
UPDATES = 20_000
MOST_MICROSECONDS = {100_000: 15.0, 1_000_000: 80.0}
MOST_BYTES_A_ROOM = 300


async def measure(options: Options) -> Report:
    """Microseconds an update, updates a second, rooms matched and bytes a room, for each number of rooms."""
    report = Report("match")
    for rooms in options.pick((1000, 10_000, 100_000, 1_000_000), (1000, 10_000)):
        progress(f"match: {rooms:,} rooms")
        found = await in_own_process(
            "benchmarks.matching", rooms, options.rounds, options.pick(UPDATES, 2000), limit=options.limit
        )
        case, most = f"{rooms:,} rooms", MOST_MICROSECONDS.get(rooms)
        median = sorted(found["microseconds"])[len(found["microseconds"]) // 2]
        target, met = (f"at most {most:g}", median <= most) if most else ("", None)
        report.add("defistream", case, "an update", found["microseconds"], "us", target=target, met=met)
        report.add("defistream", case, "updates", [1e6 / each for each in found["microseconds"]], "updates/s")
        report.add("defistream", case, "rooms matched", found["matched"], "rooms")
        checked = rooms >= 100_000
        target, met = (
            (f"at most {MOST_BYTES_A_ROOM}", found["bytes"][0] <= MOST_BYTES_A_ROOM) if checked else ("", None)
        )
        report.add("defistream", case, "index a room", found["bytes"], "bytes", target=target, met=met)
        report.add("defistream", case, "adding a room", found["adding"], "us")
    return report


async def in_own_process(module: str, *arguments: object, limit: float) -> dict[str, list[float]]:
    """What the module, run as a program on a core of its own, prints as JSON."""
    command = pinned([*python(module), *map(str, arguments)], SERVER_CORE)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        async with asyncio.timeout(limit):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{module} failed; it says why above")
    answer: dict[str, list[float]] = json.loads(output)
    return answer


def main() -> None:
    count, rounds, updates = map(int, sys.argv[1:])
    decoded = [decode_update(body, channel=Channel.PRICES) for body in mixes.updates(updates)]
    gc.collect()
    index, process, adding = RoomsIndex(), psutil.Process(), 0.0
    with tempfile.NamedTemporaryFile("rb", prefix="defistream-bench-rooms-") as file:
        # Made by another process: what making them takes must not be in this one's memory.
        subprocess.run((*python("benchmarks.mixes"), str(count), file.name), check=True, cwd=ROOT)
        gc.collect()
        before = process.memory_info().rss
        for number, line in enumerate(file):
            room = parse_room(Channel.PRICES.value, orjson.loads(line))
            begun = time.process_time()
            index.add(Slot(number % SLOTS), room)
            adding += time.process_time() - begun
        gc.collect()
        used = process.memory_info().rss - before
    gc.freeze()
    microseconds = []
    matched = 0
    for _ in range(rounds):
        begun = time.process_time()
        for update in decoded:
            index.match(update)
        microseconds.append((time.process_time() - begun) / updates * 1e6)
    matched = sum(sum(map(count_rooms, index.match(update).values())) for update in decoded[:1000])
    print(
        json.dumps(
            {
                "microseconds": microseconds,
                "matched": [matched / min(updates, 1000)],
                "bytes": [used / count],
                "adding": [adding / count * 1e6],
            }
        )
    )


if __name__ == "__main__":
    main()
