"""A socket that keeps what it is sent, for what is to be looked at afterwards, and that can stop reading."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from benchmarks.sockets import REPLY, TEXT, OnUpdate, Socket


class KeepingSocket(Socket):
    """`received`: updates, in order; `messages`: all else, each with how many updates came before it."""

    __slots__ = ("_news", "messages", "received")

    def __init__(self, request: bytes, on_update: OnUpdate) -> None:
        super().__init__(request, on_update)
        self.received: list[bytes] = []
        self.messages: list[tuple[int, bytes]] = []
        self._news = asyncio.Event()

    def read(self, reading: bool) -> None:
        """Go on reading, or stop: then it fills up, and the server must keep what is for it."""
        assert self._transport is not None
        (self._transport.resume_reading if reading else self._transport.pause_reading)()

    async def until(self, condition: Callable[[KeepingSocket], bool], *, within: float) -> bool:
        """Whether the condition on what was kept came to hold in so many seconds."""
        try:
            async with asyncio.timeout(within):
                while not condition(self):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._news.set()

    def _frame(self, opcode: int, data: bytes, begin: int, end: int, now: int) -> None:
        if opcode == TEXT:
            if data.startswith(REPLY, begin):
                self.messages.append((len(self.received), data[begin:end]))
            else:
                self.received.append(data[begin:end])
        super()._frame(opcode, data, begin, end, now)


async def connected(host: str, port: int, segment_bytes: int) -> socket.socket:
    """A TCP connection with segments of so many bytes at most, by which the kernel sizes the server's send buffer."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment_bytes)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection
