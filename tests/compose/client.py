"""A plain WebSocket client of the system under test: no code of ours, only the protocol as documented."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import websockets.asyncio.client as websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

LIMIT_SECONDS = 30.0


class Client:
    """A subscriber to the price of one token."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self._connection = connection

    async def next(self, kind: str) -> dict[str, Any]:
        """The next message of that type. TimeoutError after 30 s, ConnectionClosed when the server closes."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                message: dict[str, Any] = json.loads(await self._connection.recv())
                assert message["type"] != "error", message
                if message["type"] == kind:
                    return message

    async def subscribe(self, token: str) -> None:
        """Return when updates of the token are delivered from now on."""
        command = {"type": "subscribe", "id": 1, "channel": "prices", "filters": {"tokenIds": [token]}}
        await self._connection.send(json.dumps(command))
        await self.next("subscribed")

    async def closed(self) -> int | None:
        """The code with which the server closes the connection."""
        async with asyncio.timeout(LIMIT_SECONDS):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self._connection.recv()
        return self._connection.close_code


@contextlib.asynccontextmanager
async def connected(port: int, key: str, token: str) -> AsyncIterator[Client]:
    """A client that has subscribed, through TLS whose certificate is checked."""
    trusted = ssl.create_default_context(
        cadata=await asyncio.to_thread(ssl.get_server_certificate, ("localhost", port))
    )
    async with await _connect(port, key, trusted) as connection:
        client = Client(connection)
        await client.subscribe(token)
        yield client


async def _connect(port: int, key: str, trusted: ssl.SSLContext) -> websockets.ClientConnection:
    """Try again while the proxy has no gateway that is ready, as any client would."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            with contextlib.suppress(InvalidStatus, OSError):
                headers = {"Authorization": f"Bearer {key}"}
                return await websockets.connect(
                    f"wss://localhost:{port}/v2/realtime", ssl=trusted, additional_headers=headers
                )
            await asyncio.sleep(0.2)
