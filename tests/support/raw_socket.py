"""A WebSocket on a bare socket, for what a well-behaved client cannot do: not reading, not answering pings, broken frames."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from typing import Self
from urllib.parse import urlsplit

RECEIVE_BUFFER_BYTES = 4096


class RawSocket:
    """Handshake done; from then on it reads only when asked to, and says only what it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    @classmethod
    async def open(cls, url: str) -> Self:
        parts = urlsplit(url)
        connection = socket.socket()
        # Small buffers, so that not reading is felt by the server soon.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.setblocking(False)
        raw = cls(connection)
        await raw._loop.sock_connect(connection, (parts.hostname, parts.port))
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        await raw.send(
            f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await raw.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return raw

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def send_frame(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        """One masked frame of fewer than 64 KiB, with any opcode; the mask is zero, which RFC 6455 allows."""
        first = bytes([(0x80 if final else 0) | opcode])
        length = (
            bytes([0x80 | len(payload)])
            if len(payload) < 126
            else bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
        )
        await self.send(first + length + bytes(4) + payload)

    async def read_until(self, ending: bytes, *, within: float = 10.0) -> bytes:
        """All bytes up to and with `ending`."""
        async with asyncio.timeout(within):
            while ending not in self._buffer:
                self._buffer += await self._receive()
        found, _, self._buffer = self._buffer.partition(ending)
        return found + ending

    async def read_to_end(self, *, within: float = 20.0) -> bytes:
        """All that is left, until the server ends the connection."""
        async with asyncio.timeout(within):
            while True:
                try:
                    self._buffer += await self._receive()
                except (ConnectionError, EOFError):
                    return self._buffer

    async def frames_to_end(self, *, within: float = 20.0) -> list[tuple[int, bytes]]:
        """The frames left, as (opcode, payload), until the server ends the connection."""
        data, frames = await self.read_to_end(within=within), []
        while len(data) >= 2:
            length, start = data[1] & 0x7F, 2
            if length == 126:
                length, start = int.from_bytes(data[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(data[2:10], "big"), 10
            frames.append((data[0] & 0x0F, data[start : start + length]))
            data = data[start + length :]
        return frames

    def close(self) -> None:
        self._socket.close()

    async def _receive(self) -> bytes:
        data = await self._loop.sock_recv(self._socket, 65536)
        if not data:
            raise EOFError
        return data
