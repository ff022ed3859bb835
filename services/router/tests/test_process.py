"""A router as a process: wrong settings, backends that are away at start, its end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deploy.local.ports import free_port
from deploy.local.processes import Command, start
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ROUTER_NONSENSE", "1", "ROUTER_NONSENSE is not a setting"),
        ("ROUTER_MAX_POLL_RECORDS", "none", "ROUTER_MAX_POLL_RECORDS"),
        ("ROUTER_SESSION_TIMEOUT", "soon", "ROUTER_SESSION_TIMEOUT"),
        ("METRICS_PORT", "70000", "METRICS_PORT"),
        ("SLOTS", "0", "SLOTS"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str, says: str):
    done = subprocess.run(
        [sys.executable, "-m", "router"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_lists_every_setting():
    done = subprocess.run(
        [sys.executable, "-m", "router", "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    for name in ("ROUTER_MAX_POLL_RECORDS", "METRICS_PORT", "KAFKA_BOOTSTRAP_SERVERS", "SLOTS"):
        assert name in done.stdout


def test_a_broker_that_is_away_is_waited_for_and_said_once(tmp_path):
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "REDIS_PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
    }
    router = start(Command("router", (sys.executable, "-m", "router"), variables), tmp_path / "router.log")
    wait_until(lambda: "waiting_for" in router.log.read_text(), "it says what it waits for", limit=20)
    router.ask_to_stop()
    assert router.process.wait(10) == 0
    assert router.log.read_text().count('"waiting_for"') == 1
