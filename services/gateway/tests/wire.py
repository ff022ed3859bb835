"""A WebSocket read frame by frame, for what a well-behaved client cannot see or do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.raw_socket import RawSocket

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of the server."""

    opcode: int
    payload: bytes

    @property
    def json(self) -> dict[str, Any]:
        assert self.opcode == TEXT, self
        found: dict[str, Any] = json.loads(self.payload)
        return found

    @property
    def code(self) -> int:
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2], "big")


class Wire(RawSocket):
    async def frame(self) -> Seen:
        """The next frame. Raises EOFError at the end."""
        head = await self._exactly(2)
        size = head[1]
        if size == 126:
            size = int.from_bytes(await self._exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self._exactly(8), "big")
        return Seen(head[0] & 0x0F, await self._exactly(size))

    async def until(self, wanted: Callable[[Seen], bool]) -> list[Seen]:
        """All frames up to and with the one wanted."""
        seen: list[Seen] = []
        async with asyncio.timeout(10):
            while not seen or not wanted(seen[-1]):
                seen.append(await self.frame())
        return seen

    async def told(self, kind: str) -> dict[str, Any]:
        """The next message of a type; those before it are passed over."""
        return (await self.until(lambda each: each.opcode == TEXT and each.json["type"] == kind))[-1].json

    async def command(self, **message: object) -> None:
        await self.send_frame(TEXT, json.dumps(message, ensure_ascii=False).encode())

    async def subscribe(self, **which: object) -> dict[str, Any]:
        await self.command(type="subscribe", **which)
        return await self.told("subscribed")

    async def end(self) -> list[Seen]:
        """All frames up to the server's close, which is answered; after it nothing comes but the end of the connection."""
        seen = await self.until(lambda each: each.opcode == CLOSE)
        await self.send_frame(CLOSE, seen[-1].payload[:2])
        assert await self.read_to_end() == b""
        self.close()
        return seen

    async def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += await self._receive()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found
