"""A WebSocket client that costs next to nothing, so that ten thousand of them fit one core beside what they measure.

It understands what our gateway sends (unfragmented frames) and no more. Arrival is noted when the bytes are handed over by the loop.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Self, cast

STAMP = b'"t":'
"""Before the nanoseconds since 1970 at which the producer wrote the update; followed by a comma or a brace."""

_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {key}\r\n\r\n"
)
TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9
_PONG_FRAME = b"\x8a\x80\x00\x00\x00\x00"
REPLY = b'{"type":"'
_AUTHENTICATED = b'{"type":"authenticated"'

OnUpdate = Callable[[float], None]
"""Is told the milliseconds from the producer's stamp to arrival."""


class Refused(Exception):
    """The connection was refused, answered with an error, or ended."""


class Socket(asyncio.Protocol):
    """One connection. `updates` counts the frames that carried a stamp."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_on_update",
        "_open",
        "_request",
        "_transport",
        "_waiting",
        "_wanted",
        "updates",
    )

    def __init__(self, request: bytes, on_update: OnUpdate) -> None:
        self.updates = 0
        self._request = request
        self._on_update = on_update
        self._buffer = b""
        self._open = False
        self._closed = "the connection ended"
        self._wanted = _AUTHENTICATED
        # Made at once: the answer may be here before `connect` goes on.
        self._waiting: asyncio.Future[bytes] | None = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(
        cls, host: str, port: int, path: str, key: str, on_update: OnUpdate, *, connection: socket.socket | None = None
    ) -> Self:
        """A socket that is authenticated, by the TCP connection where one is given. Raises Refused or OSError."""
        request = _REQUEST.format(path=path, host=host, port=port, key=key).encode()
        loop = asyncio.get_running_loop()
        way: dict[str, Any] = {"host": host, "port": port} if connection is None else {"sock": connection}
        _, made = await loop.create_connection(lambda: cls(request, on_update), **way)
        try:
            await made.answer(within=30.0)
        except BaseException:
            made.close()
            raise
        return made

    async def reply(self, kind: bytes, *, within: float = 30.0) -> bytes:
        """The next message of this type; to be called before it can be here."""
        self._wanted = REPLY + kind + b'"'
        self._waiting = asyncio.get_running_loop().create_future()
        return await self.answer(within=within)

    async def answer(self, *, within: float) -> bytes:
        """What is waited for: at first that the key was taken. Raises Refused when an error or the end comes first."""
        assert self._waiting is not None
        try:
            async with asyncio.timeout(within):
                return await self._waiting
        finally:
            self._waiting = None

    def send(self, text: bytes) -> None:
        """A text message of fewer than 64 KiB; masked with zeros, which RFC 6455 allows."""
        size = len(text)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        assert self._transport is not None
        self._transport.write(b"\x81" + length + b"\0\0\0\0" + text)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.write(b"\x88\x82\0\0\0\0\x03\xe8")
            self._transport.close()

    # asyncio.Protocol ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one by behaviour, not by class.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.time_ns()
        if self._buffer:
            data = self._buffer + data
        if not self._open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self._fail(data[:end].decode(errors="replace"))
                return
            self._open = True
            data = data[end + 4 :]
        self._buffer = self._frames(data, now)

    def connection_lost(self, _error: Exception | None) -> None:
        self._fail(self._closed)

    # Frames ----------------------------------------------------------------------------------------------------------

    def _frames(self, data: bytes, now: int) -> bytes:
        """Take the whole frames; what is left of a cut one."""
        start, size = 0, len(data)
        while size - start >= 2:
            length, begin = data[start + 1], start + 2
            if length == 126:
                length, begin = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
            elif length == 127:
                length, begin = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
            end = begin + length
            if end > size or begin > size:
                break
            self._frame(data[start] & 0x0F, data, begin, end, now)
            start = end
        return data[start:]

    def _frame(self, opcode: int, data: bytes, begin: int, end: int, now: int) -> None:
        if opcode == TEXT:
            if data.startswith(REPLY, begin):
                self._message(data[begin:end])
                return
            at = data.find(STAMP, begin, end)
            if at >= 0:
                self.updates += 1
                # 19 digits until the year 2286.
                self._on_update((now - int(data[at + 4 : at + 23])) / 1e6)
        elif opcode == _PING:
            assert self._transport is not None
            self._transport.write(_PONG_FRAME)
        elif opcode == _CLOSE:
            self._closed = f"closed with {int.from_bytes(data[begin : begin + 2], 'big')} {data[begin + 2 : end].decode(errors='replace')}"

    def _message(self, text: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if text.startswith(self._wanted):
            self._waiting.set_result(text)
        elif text.startswith(b'{"type":"error"'):
            self._fail(text.decode())

    def _fail(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Refused(reason))
