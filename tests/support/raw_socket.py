"""A WebSocket on a bare socket, for what a well-behaved client cannot do: not reading, not answering pings, broken frames."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from typing import Self
from urllib.parse import urlsplit

RECEIVE_BUFFER_BYTES = 4096
TEXT, CLOSE = 0x1, 0x8


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
        await raw._finish_handshake()
        return raw

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def say(self, message: object) -> None:
        """A message, as JSON."""
        await self.send_frame(TEXT, json.dumps(message).encode())

    async def send_frame(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        """One masked frame of fewer than 64 KiB, with any opcode; the mask is zero, which RFC 6455 allows."""
        first = bytes([(0x80 if final else 0) | opcode])
        length = (
            bytes([0x80 | len(payload)])
            if len(payload) < 126
            else bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
        )
        await self.send(first + length + bytes(4) + payload)

    async def next_frame(self, *, within: float = 10.0) -> tuple[int, bytes]:
        """Opcode and payload of the next frame. Raises EOFError when the server has ended the connection."""
        async with asyncio.timeout(within):
            while (frame := self._take_frame()) is None:
                self._buffer += await self._receive()
        return frame

    async def frame_with(self, text: bytes, *, within: float = 10.0) -> bytes:
        """Payload of the next frame that contains this; those before it are passed over."""
        async with asyncio.timeout(within):
            while text not in (payload := (await self.next_frame(within=within))[1]):
                pass
        return payload

    async def frames_to_close(self, *, within: float = 20.0) -> list[bytes]:
        """Payloads of the frames left, the last of which is the close frame's."""
        payloads: list[bytes] = []
        async with asyncio.timeout(within):
            while True:
                opcode, payload = await self.next_frame(within=within)
                payloads.append(payload)
                if opcode == CLOSE:
                    return payloads

    async def close_code(self, *, within: float = 20.0) -> int:
        """The code with which the server closes."""
        return int.from_bytes((await self.frames_to_close(within=within))[-1][:2], "big")

    async def read_to_end(self, *, within: float = 20.0) -> bytes:
        """All bytes that are left, until the server ends the connection."""
        async with asyncio.timeout(within):
            while True:
                try:
                    self._buffer += await self._receive()
                except (ConnectionError, EOFError):
                    return self._buffer

    def close(self) -> None:
        self._socket.close()

    async def _finish_handshake(self) -> None:
        async with asyncio.timeout(10):
            while b"\r\n\r\n" not in self._buffer:
                self._buffer += await self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def _take_frame(self) -> tuple[int, bytes] | None:
        """The first whole frame of what was received."""
        data = self._buffer
        if len(data) < 2:
            return None
        length, start = data[1] & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(data[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start + length:
            return None
        self._buffer = data[start + length :]
        return data[0] & 0x0F, data[start : start + length]

    async def _receive(self) -> bytes:
        data = await self._loop.sock_recv(self._socket, 65536)
        if not data:
            raise EOFError
        return data
