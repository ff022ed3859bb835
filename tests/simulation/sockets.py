"""A client's end of a WebSocket, byte for byte: the gateway's own `WebSocket` is at the other, with this as its transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
from websockets.datastructures import Headers
from websockets.http11 import Request

from gateway.websocket import WebSocket
from tests.simulation.gateways import PATH, Gateway

TEXT, CLOSE, PING = 0x1, 0x8, 0x9
_HIGH_WATER = 800
_HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


class Socket(asyncio.Transport):
    """`slow`: what is written stays here until it is read; else it has arrived at once."""

    def __init__(self, gateway: Gateway, user: str) -> None:
        super().__init__()
        self.gateway = gateway
        self.slow = False
        self.lost = False
        self._arrived = bytearray()
        self._buffer = bytearray()
        self._paused = False
        self._closing = False
        self.peer = WebSocket(gateway.connections)
        self.peer.connection_made(self)
        self.peer.upgrade(Request(PATH, Headers({**_HANDSHAKE, "x-api-key": user})))
        self._head = True

    # The client's side --------------------------------------------------------------------------------------------

    def say(self, message: dict[str, Any]) -> None:
        if not self.lost:
            self.peer.data_received(_frame(0x80 | TEXT, orjson.dumps(message)))

    def lose(self) -> None:
        """The connection is gone."""
        if not self.lost:
            self.lost = True
            if not self.gateway.kafka.cut:
                self.peer.connection_lost(None)

    def read(self, most: int) -> None:
        """The peer's bytes arrive; it goes on writing where there is room again."""
        self._arrived += self._buffer[:most]
        del self._buffer[:most]
        if self._paused and len(self._buffer) < _HIGH_WATER // 2 and not self.lost:
            self._paused = False
            self.peer.resume_writing()

    @property
    def waits(self) -> bool:
        """Whether something was written that has not arrived."""
        return bool(self._buffer) or self._paused

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What has arrived, frame by frame."""
        if self._head and (end := self._arrived.find(b"\r\n\r\n")) >= 0:
            del self._arrived[: end + 4]
            self._head = False
        while len(self._arrived) >= 2:
            size, at = self._arrived[1], 2
            if size == 126:
                size, at = int.from_bytes(self._arrived[2:4], "big"), 4
            if len(self._arrived) < at + size:
                return
            opcode, payload = self._arrived[0] & 0x0F, bytes(self._arrived[at : at + size])
            del self._arrived[: at + size]
            if opcode == PING and not self.lost:
                self.peer.data_received(_frame(0x8A, payload))
            yield opcode, payload

    # asyncio.Transport --------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self.lost:
            return
        if not self.slow and not self._buffer:
            self._arrived += data
            return
        self._buffer += data
        if len(self._buffer) > _HIGH_WATER and not self._paused:
            self._paused = True
            self.peer.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True


def _frame(first: int, payload: bytes) -> bytes:
    """A client's frame, under a mask of zeros."""
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload
