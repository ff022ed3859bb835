"""Which processes each run of `make run` has, kept in .run/<gateway port>/services.json for `make services`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.local.settings import ROOT

FILE = "services.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A process of a run; its start time tells it from a later process with the same id."""

    name: str
    pid: int
    started: float
    where: str
    log: str

    def runs(self) -> bool:
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except psutil.NoSuchProcess:
            return False


def entry(name: str, pid: int, where: str, log: Path) -> Entry:
    """The entry of a process that has just been started."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    return Entry(name, pid, started, where, str(log.relative_to(ROOT)))


def write(folder: Path, entries: list[Entry]) -> None:
    """Replace the run's list, in one step, so that a reader never sees half of it."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{FILE}.new"
    new.write_text(json.dumps([asdict(each) for each in entries], indent=1))
    new.replace(folder / FILE)


def forget(folder: Path) -> None:
    """The run has ended; its logs stay."""
    (folder / FILE).unlink(missing_ok=True)


def running() -> Iterator[Entry]:
    """All processes of all runs of this work tree that are there now."""
    for file in sorted((ROOT / ".run").glob(f"*/{FILE}")):
        entries = (Entry(**fields) for fields in json.loads(file.read_text()))
        yield from (each for each in entries if each.runs())
