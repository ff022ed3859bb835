"""Which pictures are drawn of stored results. `summary` is the README's: what a core delivers and what a connection takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from benchmarks import fan_out, memory
from benchmarks.plots import Bar, Group, bars, curves
from benchmarks.suite import Report

TICKS = (1, 16, fan_out.SATURATED)
FAN_OUT_SOCKETS, MEMORY_SOCKETS = 1000, 10_000
NAMES = {
    "defistream": "defistream",
    "floor": "C, one send a frame",
    "floor, joined": "C, one send a tick",
    "centrifuge": "centrifuge (Go)",
    "nchan": "nchan (nginx)",
    "starlette": "Starlette on uvicorn",
}
NOTES = (
    "defistream, and C with one send a tick, put all updates of a tick into one write. centrifuge puts up to 16 that wait into one frame,",
    "so its figures are those of a saturated server for any number a tick.",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A report as it was saved, and where and how it was measured."""

    report: Report
    about: Mapping[str, object]


def pictures(stored: Mapping[str, Stored]) -> dict[str, str]:
    """SVG by name, of whatever of the suite there is, by name."""
    drawn = {}
    if "fan-out" in stored and "memory" in stored:
        drawn["summary"] = summary(stored["fan-out"], stored["memory"])
    if "growth" in stored:
        drawn["growth"] = curves("growth of costs", _lines(stored["growth"].report), "us")
    if "end-to-end" in stored:
        drawn["end-to-end"] = _latencies(stored["end-to-end"].report)
    return drawn


def summary(sent: Stored, held: Stored) -> str:
    """Updates a CPU second for each number a tick that was measured, all on one scale; then memory a connection."""
    ticks = [(each, _delivered(sent.report, each)) for each in TICKS]
    groups = [
        Group(f"{_a_tick(each)}: updates delivered a CPU second (more is better)", "rate", found)
        for each, found in ticks
        if any(bar.value is not None for bar in found)
    ]
    heading = f"KB of resident memory a connection, {MEMORY_SOCKETS:,} with one subscription each (less is better)"
    groups.append(Group(heading, "memory", _resident(held.report)))
    return bars("One server process on one core, beside others", groups, [*NOTES, _measured(sent), _measured(held)])


def _a_tick(updates: int) -> str:
    return f"{updates} update{'s' if updates > 1 else ''} a tick to {FAN_OUT_SOCKETS:,} sockets in one room"


def _delivered(report: Report, updates: int) -> list[Bar]:
    case = fan_out.case(FAN_OUT_SOCKETS, fan_out.ONE, updates)
    found = []
    for name, label in NAMES.items():
        lost = report.value(name, case, "lost")
        note = f"({lost:.2g} % lost)" if lost else ""
        value = report.value(name, case, "delivered by CPU")
        why = report.skipped.get(f"{name} {case}") or report.skipped.get(name) or "not measured"
        found.append(Bar(name, label, value, note if value is not None else f"no figure: {why}"))
    return found


def _resident(report: Report) -> list[Bar]:
    case = memory.case(MEMORY_SOCKETS, 1)
    found = ((name, label, report.value(name, case, "resident a connection")) for name, label in NAMES.items())
    return [Bar(name, label, value) for name, label, value in found if value is not None]


def _measured(stored: Stored) -> str:
    about = stored.about
    return (
        f"{stored.report.benchmark}: medians of {about['rounds']} rounds, {str(about['at'])[:10]}, "
        f"{about['cores']} cores of {about['processor']}, commit {about['commit']}."
    )


def _latencies(report: Report) -> str:
    found = [each for each in report.results if each.measure in ("p50", "p99")]
    found.sort(key=lambda each: int(_rate(each.case).replace(",", "")))
    groups = [
        Group(
            f"{rate} deliveries/s: ms from the producer to the client (less is better)",
            "ms",
            [Bar(each.subject, f"{each.subject} {each.measure}", each.value) for each in same],
        )
        for rate, same in groupby(found, lambda each: _rate(each.case))
    ]
    return bars("Producer to client, through Kafka", groups)


def _rate(case: str) -> str:
    """`25,000` of `10,000 sockets, 100 rooms, 25,000 deliveries/s`."""
    return case.rpartition(", ")[2].removesuffix(" deliveries/s")


def _lines(report: Report) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in report.results:
        if result.measure != "exponent":
            lines.setdefault(result.case, []).append((float(result.measure.replace(",", "")), result.value))
    return lines
