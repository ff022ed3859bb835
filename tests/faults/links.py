"""A TCP proxy whose connections can be cut, held up, and swallowed: what a network does to its ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import cast

from deploy.local.ports import free_port
from deploy.local.settings import HOST, Address

SEGMENT_BYTES = 536
RECEIVE_BYTES = 4 * 1024
"""As on a network, not as on loopback, where the kernel would hold megabytes for a reader that has stopped."""


class Pair:
    """One relayed connection: `near` to who connected, `far` to the server."""

    def __init__(self) -> None:
        self.near = _Side(self)
        self.far = _Side(self)
        self.near.other, self.far.other = self.far, self.near
        self.swallows = False
        self.is_cut = False

    def cut(self) -> None:
        """Both ends see a reset."""
        self.is_cut = True
        for side in (self.near, self.far):
            if side.transport is not None:
                side.transport.abort()

    def swallow(self) -> None:
        """Half open: what either end sends is gone, and neither hears of the other any more, not even of its end."""
        self.swallows = True

    def hold(self) -> None:
        """Nothing moves, and nothing is lost: what is sent waits at its sender."""
        self.near.hold(True)
        self.far.hold(True)

    def hold_far(self) -> None:
        """Who connected does not read what the server sends."""
        self.far.hold(True)

    def release(self) -> None:
        self.near.hold(False)
        self.far.hold(False)


class _Side(asyncio.Protocol):
    def __init__(self, pair: Pair) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side
        self._pair = pair
        self._held = False
        self._choked = False
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no subclass of it.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.writelines(self._early)
        self._early.clear()
        if self._pair.is_cut:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._pair.swallows:
            self.other.write(data)

    def write(self, data: bytes) -> None:
        if self.transport is None:
            self._early.append(data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def hold(self, held: bool) -> None:
        self._held = held
        self._regulate()

    def pause_writing(self) -> None:
        self.other._choked = True
        self.other._regulate()

    def resume_writing(self) -> None:
        self.other._choked = False
        self.other._regulate()

    def connection_lost(self, error: Exception | None) -> None:
        other = self.other.transport
        if other is not None and not self._pair.swallows:
            other.abort() if error else other.close()

    def _regulate(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._held or self._choked:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


class Link:
    """A port of its own that leads to a server. `choose` names it for each new connection; None refuses that one."""

    def __init__(self, name: str, choose: Callable[[], Address | None], *, small: bool = False) -> None:
        self.name = name
        self.address = Address(HOST, free_port())
        self._choose = choose
        self._small = small
        self._pairs: set[Pair] = set()
        self._server: asyncio.Server | None = None
        self._treat: Callable[[Pair], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self.address.host, self.address.port, backlog=1024)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for pair in self.pairs:
            pair.cut()
        for task in tuple(self._tasks):
            task.cancel()

    @property
    def pairs(self) -> list[Pair]:
        """Connections that are relayed now."""
        return list(self._pairs)

    def treat_new(self, treatment: Callable[[Pair], None] | None) -> None:
        """Do this to each new connection until told otherwise."""
        self._treat = treatment

    def _accept(self) -> asyncio.Protocol:
        pair = _Linked(self._pairs)
        task = asyncio.get_running_loop().create_task(self._connect(pair))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pair.near

    async def _connect(self, pair: Pair) -> None:
        target = self._choose()
        try:
            if target is None:
                raise ConnectionRefusedError
            connection = socket.socket()
            connection.setblocking(False)
            if self._small:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
            loop = asyncio.get_running_loop()
            with contextlib.ExitStack() as stack:
                stack.callback(connection.close)
                await loop.sock_connect(connection, (target.host, target.port))
                stack.pop_all()
            await loop.create_connection(lambda: pair.far, sock=connection)
        except OSError:
            pair.cut()
            return
        if self._treat is not None:
            self._treat(pair)


class _Linked(Pair):
    """Is among its link's connections while either end is open."""

    def __init__(self, among: set[Pair]) -> None:
        super().__init__()
        self._among = among
        among.add(self)
        for side in (self.near, self.far):
            side.connection_lost = self._leaving(side.connection_lost)  # type: ignore[method-assign,assignment]

    def _leaving(self, lost: Callable[[Exception | None], None]) -> Callable[[Exception | None], None]:
        def leave(error: Exception | None) -> None:
            lost(error)
            self._among.discard(self)

        return leave


def cut(pairs: Iterable[Pair]) -> None:
    for pair in pairs:
        pair.cut()
