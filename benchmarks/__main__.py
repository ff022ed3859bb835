"""`python -m benchmarks NAME [--quick] [--json FILE]`: one benchmark of the suite, or `all`; `acceptance` for the acceptance figures;
`plots` draws the pictures anew from what is stored, and measures nothing.

`--quick` proves that each works, with tiny sizes and one round; its figures mean nothing. A full run writes `benchmarks/results/`, each
benchmark once it is whole: a run that is interrupted keeps what it has.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from benchmarks import (
    acceptance,
    connect_storm,
    end_to_end,
    fan_out,
    growth,
    matching,
    memory,
    native,
    results,
    resume,
    route,
    slow_consumers,
    snapshot,
    takeover,
)
from benchmarks.suite import Benchmark, Options, Report, progress
from benchmarks.systems import quiet_servers

SUITE: dict[str, Benchmark] = {
    "fan-out": fan_out.measure,
    "memory": memory.measure,
    "match": matching.measure,
    "route": route.measure,
    "end-to-end": end_to_end.measure,
    "connect-storm": connect_storm.measure,
    "resume": resume.measure,
    "slow-consumers": slow_consumers.measure,
    "snapshot": snapshot.measure,
    "takeover": takeover.measure,
    "growth": growth.measure,
}
NEED_SERVERS = {"memory", "route", "end-to-end", "connect-storm", "resume", "slow-consumers", "snapshot", "takeover"}
QUICK_LIMIT_SECONDS, LIMIT_SECONDS = 90.0, 900.0


async def run(suite: Mapping[str, Benchmark], options: Options, keep: Callable[[Report], None]) -> list[str]:
    """One after the other, each report kept once it is whole; names of those that failed. A failure does not keep the others from
    being measured.
    """
    failed = []
    for name, measure in suite.items():
        begun = time.monotonic()
        try:
            keep(await measure(options))
        except* Exception as errors:  # noqa: BLE001 - whatever it is, it is shown, and the others go on
            failed.append(name)
            for error in errors.exceptions:
                progress(f"{name} failed: {type(error).__name__}: {error}")
        progress(f"{name}: {time.monotonic() - begun:.0f} s")
    return failed


def main(arguments: Sequence[str] | None = None) -> None:
    """Exits with 1 when a benchmark failed. One whose figures miss their target has not."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] == "acceptance":
        acceptance.main(given[1:] if given[:1] == ["acceptance"] else given)
        return
    parsed = _parser().parse_args(given)
    if parsed.name == "plots":
        print(*results.draw(), sep="\n")
        return
    names = list(SUITE) if parsed.name == "all" else [parsed.name]
    limit = QUICK_LIMIT_SECONDS if parsed.quick else LIMIT_SECONDS
    options = Options(parsed.quick, rounds=1 if parsed.quick else parsed.rounds, limit=limit)
    about = results.circumstances(options)
    reports: list[Report] = []

    def keep(report: Report) -> None:
        if parsed.quick:
            report.results = [replace(result, target="", met=None) for result in report.results]
        reports.append(report)
        if parsed.json:
            parsed.json.write_text(results.as_json(reports, about))
        if not parsed.quick:
            results.save(report, about)

    with tempfile.TemporaryDirectory(prefix="defistream-bench-") as folder, contextlib.ExitStack() as stack:
        stack.callback(native.clean)
        if NEED_SERVERS & set(names):
            # One pair of servers for all, with names of their own for each: starting them anew would take most of a quick run.
            options = replace(options, servers=stack.enter_context(quiet_servers(options, Path(folder))))
        failed = uvloop.run(run({name: SUITE[name] for name in names}, options, keep))
    print(f"\n{results.as_table(reports)}")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measures how fast the product is, beside others."
    )
    parser.add_argument(
        "name", choices=(*SUITE, "all", "plots"), help="what to measure; or `acceptance`, which has options of its own"
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, one round: shows that it works, measures nothing"
    )
    parser.add_argument("--rounds", type=int, default=5, help="each figure is the median of so many (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return parser


if __name__ == "__main__":
    main()
