"""What a run is told on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).parent / "results"

Broken = Literal["resume", "repeats"]
"""A rule of the client to break on purpose, so that the run must fail: it comes back without its cursor, or takes every repeat for new."""


@dataclass(frozen=True, slots=True)
class Options:
    """One run. `seconds`: how long faults are injected; `rate`: updates a second; `gap`: mean seconds from fault to fault."""

    seeds: tuple[int, ...]
    seconds: float = 180.0
    clients: int = 300
    rate: float = 50.0
    gap: float = 8.0
    containers: bool = False
    broken: Broken | None = None
    results: Path | None = None
    work: Path | None = None


def parse(arguments: Sequence[str]) -> Options:
    """Exits with 2 on wrong arguments."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="one run; the same seed makes the same clients, updates and faults")
    parser.add_argument("--seeds", help="several runs, `1-20` or `3,5,8`; writes a table of results")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults are injected (3)")
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--rate", type=float, default=50.0, help="updates a second (50)")
    parser.add_argument("--gap", type=float, default=8.0, help="mean seconds from fault to fault (8)")
    parser.add_argument("--containers", action="store_true", help="Apache Kafka and Valkey in containers")
    parser.add_argument("--break", dest="broken", choices=["resume", "repeats"], help="break a rule of the client")
    parser.add_argument("--results", type=Path, help=f"folder of the table ({RESULTS.name}/ beside this with --seeds)")
    parser.add_argument("--work", type=Path, help="folder of logs and evidence (a temporary one)")
    given = parser.parse_args(arguments)
    if (given.seed is None) == (given.seeds is None):
        parser.error("give either --seed or --seeds")
    return Options(
        seeds=(given.seed,) if given.seeds is None else _seeds(given.seeds),
        seconds=given.minutes * 60,
        clients=given.clients,
        rate=given.rate,
        gap=given.gap,
        containers=given.containers,
        broken=given.broken,
        results=given.results or (None if given.seeds is None else RESULTS),
        work=given.work,
    )


def _seeds(text: str) -> tuple[int, ...]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return tuple(seeds)
