"""Results as files: JSON with all rounds and the circumstances, a table in Markdown, pictures."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pictures import Stored, pictures
from benchmarks.plots import number_text
from benchmarks.suite import Options, Report, Result

FOLDER = Path(__file__).parent / "results"


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


def save(report: Report, about: dict[str, object], folder: Path = FOLDER) -> None:
    """Its JSON file and table; and the pictures, which may be of several benchmarks, anew."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{report.benchmark}.json").write_text(as_json([report], about))
    (folder / f"{report.benchmark}.md").write_text(_about(about) + as_table([report]))
    draw(folder)


def draw(folder: Path = FOLDER) -> list[Path]:
    """Pictures of whatever is stored there, without measuring; their files."""
    stored = {file.stem: _stored(file) for file in sorted(folder.glob("*.json"))}
    drawn = {folder / f"{name}.svg": picture for name, picture in pictures(stored).items()}
    for file, picture in drawn.items():
        file.write_text(picture)
    return list(drawn)


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


def _stored(file: Path) -> Stored:
    body = json.loads(file.read_text())
    found = [Result(**{**each, "rounds": tuple(each["rounds"])}) for each in body["results"]]
    return Stored(Report(file.stem, found, body["skipped"].get(file.stem, {})), body["circumstances"])


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")


def _commit() -> str:
    done = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=False, cwd=FOLDER.parent
    )
    return done.stdout.strip()
