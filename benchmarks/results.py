"""Results as files: JSON with all rounds and the circumstances, a table in Markdown, plots."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.plots import bars, curves, number_text
from benchmarks.suite import Options, Report, Result

FOLDER = Path(__file__).parent / "results"
_BARS = {"fan-out": "delivered by CPU", "memory": "resident a connection"}


def circumstances(options: Options) -> dict[str, object]:
    """Where and how it was measured."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "quick": options.quick,
        "rounds": options.rounds,
    }


def as_json(reports: Sequence[Report], about: dict[str, object]) -> str:
    body = {
        "circumstances": about,
        "results": [result.to_json() for report in reports for result in report.results],
        "skipped": {report.benchmark: report.skipped for report in reports if report.skipped},
    }
    return json.dumps(body, indent=1) + "\n"


def as_table(reports: Sequence[Report]) -> str:
    """Markdown: a section a benchmark."""
    sections = []
    for report in reports:
        rows = [_row(result) for result in report.results]
        head = "| who | case | measure | figure | spread | target | |\n|---|---|---|---|---|---|---|"
        left_out = [f"\nSkipped: {what}: {why}" for what, why in report.skipped.items()]
        sections.append("\n".join((f"## {report.benchmark}\n", head, *rows, *left_out)))
    return "\n\n".join(sections) + "\n"


def save(reports: Sequence[Report], about: dict[str, object], folder: Path = FOLDER) -> None:
    """A JSON file and plots for each benchmark, and the table of those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for report in reports:
        (folder / f"{report.benchmark}.json").write_text(as_json([report], about))
        (folder / f"{report.benchmark}.md").write_text(_about(about) + as_table([report]))
        for name, picture in _plots(report).items():
            (folder / f"{name}.svg").write_text(picture)


def _row(result: Result) -> str:
    verdict = {None: "", True: "met", False: "**missed**"}[result.met]
    spread = _spread(result)
    figure = f"{number_text(result.value)} {result.unit}"
    return (
        f"| {result.subject} | {result.case} | {result.measure} | {figure} | {spread} | {result.target} | {verdict} |"
    )


def _spread(result: Result) -> str:
    """Of the rounds: from the least to the most, as shares of the median."""
    if len(result.rounds) < 2 or not result.value:
        return ""
    middle = statistics.median(result.rounds)
    return f"{(min(result.rounds) / middle - 1) * 100:+.0f} to {(max(result.rounds) / middle - 1) * 100:+.0f} %"


def _about(about: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items()) + "\n\n"


def _plots(report: Report) -> dict[str, str]:
    if report.benchmark == "growth":
        return {"growth": curves("growth of costs", _lines(report), "us")}
    if report.benchmark == "end-to-end":
        rows = [
            (r.subject, f"{r.subject}, {r.case.rpartition(', ')[2]} {r.measure}", r.value)
            for r in report.results
            if r.measure in ("p50", "p99")
        ]
        return {"end-to-end": bars("producer to client", rows, "ms")}
    measure = _BARS.get(report.benchmark)
    if measure is None:
        return {}
    rows = [(r.subject, f"{r.subject}: {r.case}", r.value) for r in report.results if r.measure == measure]
    unit = next((r.unit for r in report.results if r.measure == measure), "")
    return {report.benchmark: bars(f"{report.benchmark}: {measure}", rows, unit)}


def _lines(report: Report) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for result in report.results:
        if result.measure != "exponent":
            lines.setdefault(result.case, []).append((float(result.measure.replace(",", "")), result.value))
    return lines


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")


def _commit() -> str:
    done = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False, cwd=FOLDER.parent
    )
    return done.stdout.strip()
