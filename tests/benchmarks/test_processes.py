"""Whose CPU is counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.processes import cpu_seconds

BURN = "import time\nwhile time.process_time() < 0.4: pass\nprint('burnt', flush=True)\n"
BURN_AND_STAY = BURN + "import sys\nsys.stdin.read()"
PARENT = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])\nprint('ended', flush=True)\nsys.stdin.read()"


@contextmanager
def parent_of(child: str) -> Iterator[subprocess.Popen[str]]:
    """A process that does nothing but wait for its child."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT, child], stdin=pipe, stdout=pipe, text=True) as parent:
        yield parent
        parent.communicate()


@pytest.mark.parametrize(("child", "last"), [(BURN_AND_STAY, "burnt"), (BURN, "ended")], ids=["lives", "ended"])
def test_the_cpu_of_a_child_is_counted(child: str, last: str) -> None:
    with parent_of(child) as parent:
        assert parent.stdout is not None
        while parent.stdout.readline().strip() != last:
            assert parent.poll() is None
        # The kernel's accounts are in ticks of 10 ms, cut off.
        assert cpu_seconds(parent.pid) >= 0.35
