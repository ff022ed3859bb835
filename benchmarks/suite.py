"""What the benchmarks of the suite share: options, results, and how a result is made of several rounds."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from tests.support.servers import Servers

T = TypeVar("T")


class Skipped(Exception):
    """Why a part of a benchmark cannot run here, as a few words."""


@dataclass(frozen=True, slots=True)
class Options:
    """`rounds`: each figure is the median of so many. `limit`: seconds after which a part is given up. `servers`: to be used by all."""

    quick: bool = False
    rounds: int = 5
    limit: float = 900.0
    servers: Servers | None = None

    @property
    def given_servers(self) -> Servers:
        """Those that were opened for this run. Raises `Skipped` where none were."""
        if self.servers is None:
            raise Skipped("no Kafka and Redis")
        return self.servers

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `case` says under which conditions; `met` is None where there is no target."""

    benchmark: str
    subject: str
    case: str
    measure: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    rounds: tuple[float, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(slots=True)
class Report:
    """What one benchmark found: figures, and what was left out and why."""

    benchmark: str
    results: list[Result] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(
        self, subject: str, case: str, measure: str, values: Sequence[float] | float, unit: str, **more: object
    ) -> Result:
        """A figure: the median of the rounds."""
        rounds = tuple(values) if isinstance(values, Sequence) else (values,)
        made = Result(self.benchmark, subject, case, measure, statistics.median(rounds), unit, rounds=rounds, **more)  # type: ignore[arg-type]
        self.results.append(made)
        progress(f"  {subject}, {case}: {measure} {made.value:,.4g} {unit}")
        return made

    def skip(self, what: str, reason: object) -> None:
        self.skipped[what] = str(reason)
        progress(f"  {what}: skipped, {reason}")

    def value(self, subject: str, case: str, measure: str) -> float | None:
        """A figure that was found before."""
        for each in self.results:
            if (each.subject, each.case, each.measure) == (subject, case, measure):
                return each.value
        return None


Benchmark = Callable[[Options], Awaitable[Report]]


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def percentile_of_buckets(buckets: dict[str, int], share: float, *, bucket_ms: float = 0.1) -> float:
    """Of a histogram in milliseconds, by nearest rank; each bucket counts as its upper bound. NaN where nothing was measured."""
    ordered = sorted((int(bucket), count) for bucket, count in buckets.items())
    total = sum(count for _, count in ordered)
    seen = 0
    for bucket, count in ordered:
        seen += count
        if seen >= share * total:
            return (bucket + 1) * bucket_ms
    return float("nan")


def merged(histograms: Iterable[dict[str, int]]) -> dict[str, int]:
    """Several histograms as one."""
    total: dict[str, int] = {}
    for histogram in histograms:
        for bucket, count in histogram.items():
            total[bucket] = total.get(bucket, 0) + count
    return total
