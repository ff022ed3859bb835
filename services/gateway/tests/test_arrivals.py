"""New sockets: all that come at once get in, a few a turn, and the loop goes on meanwhile."""

import asyncio
import contextlib
import errno
import select
import socket
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import cast
from urllib.parse import urlsplit

import pytest

from common.health import listen
from gateway import arrivals
from gateway.arrivals import Arrivals
from services.gateway.tests.running import Running
from tests.support.waiting import eventually

AT_ONCE = 300
HANDSHAKE = (
    b"GET /v2/realtime HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Greeted(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Greeted.made += 1
        stream = cast(asyncio.Transport, transport)
        stream.write(b"hello")
        stream.close()


@contextlib.asynccontextmanager
async def arriving(listener: socket.socket) -> AsyncIterator[Arrivals]:
    Greeted.made = 0
    here = Arrivals(Greeted)
    here.start([listener])
    try:
        yield here
    finally:
        here.close()


async def greeting(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.fixture
def listener() -> socket.socket:
    return listen("127.0.0.1", 0, variable="GATEWAY_PORT", backlog=AT_ONCE)


async def test_all_that_come_at_once_are_let_in(listener: socket.socket):
    port = listener.getsockname()[1]
    async with arriving(listener):
        greetings = await asyncio.gather(*(greeting(port) for _ in range(AT_ONCE)))
    assert greetings == [b"hello"] * AT_ONCE


async def test_the_loop_has_its_turn_after_each_few(listener: socket.socket):
    here = [socket.create_connection(listener.getsockname()) for _ in range(AT_ONCE)]
    made = [0]
    async with arriving(listener):
        while made[-1] < AT_ONCE:
            await asyncio.sleep(0)
            made.append(Greeted.made)
    for each in here:
        each.close()
    assert max(after - before for before, after in pairwise(made)) <= 2 * arrivals._LET_IN_A_TURN


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_who_asks_for_health_is_not_kept_waiting(gateway: Running, path: str):
    """It comes last, behind hundreds of handshakes that all are there."""
    address = urlsplit(gateway.http)
    storm = [socket.create_connection((address.hostname, address.port)) for _ in range(AT_ONCE)]
    for each in storm:
        each.sendall(HANDSHAKE)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 ")
    writer.close()
    answered, _, _ = select.select(storm, (), (), 0)
    assert len(answered) < AT_ONCE / 2
    for each in storm:
        each.close()


async def test_who_asks_for_health_later_than_it_comes_is_seen_as_well(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(arrivals, "_LET_IN_A_TURN", 0)
    monkeypatch.setattr(arrivals, "_LOOK_SECONDS", 1.0)
    here = [socket.create_connection(listener.getsockname()) for _ in range(10)]
    async with arriving(listener) as waiting:
        queue = waiting._waiting._waiting

        async def all_are_taken() -> bool:
            return len(queue) == len(here)

        async def it_is_next() -> bool:
            return bool(queue[0].getpeername() == here[-1].getsockname())

        await eventually(all_are_taken, "all that came are taken")
        here[-1].sendall(b"GET /healthz HTTP/1.1\r\n")
        await eventually(it_is_next, "who asks for health is next")
    for each in here:
        each.close()


async def test_who_still_waits_at_the_end_is_turned_away(listener: socket.socket):
    here = [socket.create_connection(listener.getsockname()) for _ in range(AT_ONCE)]
    async with arriving(listener) as waiting:
        # The second turn takes, and lets in the first few.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting._waiting
    for each in here:
        each.settimeout(5)
    answers = [await asyncio.to_thread(_read, each) for each in here]
    assert b"" in answers
    assert set(answers) <= {b"hello", b""}


async def test_no_file_descriptor_left_costs_a_pause_and_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arrivals, "_PAUSE_SECONDS", 0.01)
    with listen("127.0.0.1", 0, variable="GATEWAY_PORT") as real:
        exhausted = _Exhausted(fileno=real.detach())
    exhausted.setblocking(False)
    async with arriving(exhausted):
        assert await greeting(exhausted.getsockname()[1]) == b"hello"
    assert exhausted.refusals == 0


class _Exhausted(socket.socket):
    """A process at its limit of open files, for a while."""

    refusals = 3

    def accept(self) -> tuple[socket.socket, object]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def _read(client: socket.socket) -> bytes:
    try:
        return client.recv(16)
    except ConnectionResetError:
        return b""
    finally:
        client.close()
