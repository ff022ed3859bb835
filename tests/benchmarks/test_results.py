"""What was measured is kept as it comes, and drawn as it is stored."""

from __future__ import annotations

from pathlib import Path

from benchmarks import fan_out, memory, results
from benchmarks.__main__ import run
from benchmarks.suite import Options, Report

ABOUT = results.circumstances(Options())


def fan_out_report(**by_cpu: float) -> Report:
    report = Report("fan-out")
    for name, value in by_cpu.items():
        report.add(name, fan_out.case(1000, 1, 16), "delivered by CPU", value, "updates/CPU s")
    return report


def memory_report(kilobytes: float) -> Report:
    report = Report("memory")
    report.add("defistream", memory.case(10_000, 1), "resident a connection", (kilobytes,), "KB")
    return report


async def test_a_report_is_kept_before_the_next_benchmark_begins() -> None:
    kept: list[str] = []
    seen: list[list[str]] = []

    async def first(_: Options) -> Report:
        return Report("first")

    async def second(_: Options) -> Report:
        seen.append(list(kept))
        raise ValueError("it fails")

    failed = await run({"first": first, "second": second}, Options(), lambda report: kept.append(report.benchmark))
    assert (failed, seen, kept) == (["second"], [["first"]], ["first"])


def test_the_summary_is_drawn_once_both_that_it_needs_are_stored(tmp_path: Path) -> None:
    results.save(fan_out_report(defistream=1_687_235, starlette=76_807), ABOUT, tmp_path)
    assert not (tmp_path / "summary.svg").exists()
    results.save(memory_report(3.22), ABOUT, tmp_path)
    drawn = (tmp_path / "summary.svg").read_text()
    assert all(f">{figure}<" in drawn for figure in ("1,687,000", "77,000", "3.22"))


def test_the_summary_says_why_a_figure_is_missing_and_what_was_lost(tmp_path: Path) -> None:
    report = fan_out_report(defistream=1_687_235, nchan=128_000)
    report.add("nchan", fan_out.case(1000, 1, 16), "lost", 0.02, "%")
    report.skip("centrifuge", "no Go")
    results.save(report, ABOUT, tmp_path)
    results.save(memory_report(3.22), ABOUT, tmp_path)
    drawn = (tmp_path / "summary.svg").read_text()
    assert ">no figure: no Go<" in drawn
    assert ">128,000 (0.02 % lost)<" in drawn


def test_the_stored_summary_is_of_the_stored_results(tmp_path: Path) -> None:
    """Otherwise: `python -m benchmarks plots`."""
    for name in ("fan-out", "memory"):
        (tmp_path / f"{name}.json").write_bytes((results.FOLDER / f"{name}.json").read_bytes())
    (drawn,) = results.draw(tmp_path)
    assert drawn.read_text() == (results.FOLDER / drawn.name).read_text()
