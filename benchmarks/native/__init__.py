"""C programs, built when a benchmark wants them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.suite import Skipped

_SOURCES = Path(__file__).parent


@cache
def built(name: str) -> Path:
    """The program, compiled once a run. Raises `Skipped` where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Skipped("no C compiler (cc)")
    program = _folder() / name
    subprocess.run((compiler, "-O2", "-Wall", "-o", program, _SOURCES / f"{name}.c"), check=True, timeout=60)
    return program


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="defistream-bench-native-"))


def clean() -> None:
    """Remove what was built."""
    if _folder.cache_info().currsize:
        shutil.rmtree(_folder(), ignore_errors=True)
        _folder.cache_clear()
        built.cache_clear()
