"""A short fault run on Apache Kafka; and a client that breaks a rule is found out by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import run_all
from tests.faults.options import Options

pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]

SHORT = Options(seeds=(7,), seconds=40.0, clients=60, rate=30.0, gap=4.0, containers=True)


async def test_nothing_is_missing_repeated_disordered_or_leaked(tmp_path: Path):
    results = await run_all(SHORT, tmp_path)
    assert [each["good"] for each in results] == [True]
