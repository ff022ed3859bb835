"""A service waits for what it needs, says so once, and ends when asked."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from common.backoff import Backoff
from common.errors import StartupError
from common.lifecycle import Stopping, pause, run_service, until_stopped, wait_for


class Backend:
    """Refuses a number of times, then answers."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    async def answer(self) -> str:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("nobody there")
        return "here"


def quick() -> Backoff:
    return Backoff(first=0.001, most=0.002)


async def test_what_is_there_is_not_spoken_of():
    with capture_logs() as lines:
        assert await wait_for("kafka", Backend(0).answer, errors=(OSError,), stop=asyncio.Event()) == "here"
    assert lines == []


async def test_waiting_is_said_once_and_its_end_once():
    with capture_logs() as lines:
        await wait_for("kafka", Backend(5).answer, errors=(OSError,), stop=asyncio.Event(), backoff=quick())
    assert [(line["event"], line["what"]) for line in lines] == [("waiting_for", "kafka"), ("available", "kafka")]
    assert lines[0]["reason"] == "nobody there"


async def test_an_error_of_another_kind_is_not_waited_out():
    with pytest.raises(ConnectionError):
        await wait_for("kafka", Backend(1).answer, errors=(KeyError,), stop=asyncio.Event())


async def test_a_service_that_waits_can_be_stopped():
    stop = asyncio.Event()
    asyncio.get_running_loop().call_soon(stop.set)
    with pytest.raises(Stopping):
        await wait_for("kafka", Backend(10**9).answer, errors=(OSError,), stop=stop, backoff=Backoff(first=60, most=60))


async def test_an_attempt_that_takes_long_is_cancelled_when_stopped():
    stop, ended = asyncio.Event(), []

    async def endless() -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with asyncio.timeout(5):
        with pytest.raises(Stopping):
            await wait_for("kafka", endless, errors=(OSError,), stop=stop)
    assert ended == [True]


async def test_a_pause_ends_by_itself():
    await pause(0.001, asyncio.Event())


async def test_work_is_cancelled_when_stopped():
    stop, ended = asyncio.Event(), []

    async def work() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    await until_stopped(stop, work(), work())
    assert ended == [True, True]


async def test_a_failure_of_one_ends_the_others_and_is_raised():
    ended = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def failing() -> None:
        raise ConnectionError("lost")

    async with asyncio.timeout(5):
        with pytest.raises(ExceptionGroup) as failed:
            await until_stopped(asyncio.Event(), endless(), failing())
    assert failed.group_contains(ConnectionError, match="lost")
    assert ended == [True]


def test_a_startup_error_is_one_line_and_exit_2(capfd):
    async def main(stop):
        raise StartupError("SERVICE_PORT: taken")

    with pytest.raises(SystemExit) as ended:
        run_service(main)
    assert ended.value.code == 2
    assert capfd.readouterr().err.endswith("SERVICE_PORT: taken\n")


PROGRAM = """
import asyncio
from common.lifecycle import run_service

async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("drained", flush=True)
    {after}

run_service(main)
"""


def program(after: str) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", PROGRAM.format(after=after)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_is_0(number):
    with program("pass") as child:
        os.kill(child.pid, number)
        assert child.wait(timeout=10) == 0
        assert child.stdout is not None
        assert child.stdout.read() == "drained\n"


def test_a_second_signal_stops_at_once():
    with program("await asyncio.Event().wait()") as child:
        os.kill(child.pid, signal.SIGTERM)
        assert child.stdout is not None
        assert child.stdout.readline() == "drained\n"
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(timeout=10) == 1
