"""Child processes: each in a process group of its own, with its own log, and gone when this process is gone."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start: arguments, variables on top of this process's own, and seconds that it may take to end."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_limit: float = 5.0


@dataclass(frozen=True, slots=True)
class Child:
    """A started command."""

    command: Command
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def name(self) -> str:
        return self.command.name

    def ended(self) -> int | None:
        """Its exit status (negative: the signal that ended it), or None while it runs."""
        return self.process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM; harmless when it has ended already."""
        self.process.terminate()

    def stop(self) -> None:
        """Return when the process is gone: by SIGTERM, or by SIGKILL when it takes longer than its limit."""
        self.ask_to_stop()
        try:
            self.process.wait(self.command.stop_limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def start(command: Command, log: Path) -> Child:
    """Start the command; what it prints is appended to `log`, whose folder is made."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.arguments,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal goes to the whole group; children are ended in order, by us alone.
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - this process has one thread
        )
    return Child(command, process, log)


def die_with_parent(sign: signal.Signals) -> Callable[[], None] | None:
    """What makes Linux send `sign` to the calling process when its parent dies, however it dies; None elsewhere."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, sign)
