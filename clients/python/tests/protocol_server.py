"""A small gateway for tests: speaks the documented protocol over real WebSockets, and does what a test tells it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

KEY = "ds_test"
EPOCH = "k3f9"
LIMIT = 5.0
Json = dict[str, Any]


class Peer:
    """One connection as the server sees it."""

    def __init__(self, websocket: ServerConnection, number: int) -> None:
        self.websocket = websocket
        self.number = number
        self.rooms: dict[str, Json] = {}
        self.commands: list[Json] = []

    async def send(self, **message: Any) -> None:
        await self.websocket.send(json.dumps(message))


class ProtocolServer:
    """`refusals`: errors that the next subscribes get, in order, instead of `subscribed`. `offsets`: the last one of each partition."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.accepted = 0
        self.refusals: list[Json] = []
        self.offsets = {0: 100, 1: 200}
        self.heartbeat_interval = 15_000
        self.authenticates = True
        self.confirms = True
        self.close_on_accept: tuple[int, str] | None = None
        self.before_subscribed: Callable[[Peer, Json], Any] | None = None
        self._changed = asyncio.Condition()
        self._rooms: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._server: Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/v2/realtime"

    @property
    def cursor(self) -> str:
        return f"{EPOCH}." + ",".join(f"{partition}:{offset}" for partition, offset in self.offsets.items())

    async def start(self) -> None:
        self._server = await serve(
            self._converse, "127.0.0.1", self._port, compression=None, ping_interval=None, close_timeout=1
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Connections are closed with 1001; `start` listens on the same port again."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that a client does."""
        async with asyncio.timeout(LIMIT), self._changed:
            await self._changed.wait_for(condition)

    async def until_subscribed(self, count: int = 1) -> None:
        await self.until(lambda: sum(len(peer.rooms) for peer in self.peers) >= count)

    async def publish(self, partition: int = 0, **fields: Any) -> Json:
        """An update, to each peer once that has a room of its channel whose filters match."""
        self.offsets[partition] += 1
        update = {"type": "price_update", "channel": "prices", "id": f"{partition}:{self.offsets[partition]}", **fields}
        for peer in self.peers:
            if any(_matches(room, update) for room in peer.rooms.values()):
                await peer.send(**update)
        return update

    async def heartbeat(self, **cursors: str) -> None:
        for peer in self.peers:
            await peer.send(type="heartbeat", timestamp=1, sent=0, cursors=cursors or {"prices": self.cursor})

    async def end_past(self, kind: str, **fields: Any) -> None:
        """The last subscription of each peer that asked for something of the past has all of it."""
        for peer in self.peers:
            command = next(one for one in reversed(peer.commands) if "since" in one or "snapshot" in one)
            room = self._rooms[_selection(command)]
            end = {"count": 0, "cursor": self.cursor, **fields}
            await peer.send(type=kind, id=command["id"], channel=command["channel"], room=room, **end)

    async def notify(self, **message: Any) -> None:
        for peer in self.peers:
            await peer.send(**message)

    async def close(self, code: int, reason: str = "") -> None:
        for peer in tuple(self.peers):
            await peer.websocket.close(code, reason)

    def abort(self) -> None:
        """Connections end without a close frame."""
        for peer in self.peers:
            peer.websocket.transport.abort()

    def commands(self, kind: str) -> list[Json]:
        return [command for peer in self.peers for command in peer.commands if command["type"] == kind]

    async def _converse(self, websocket: ServerConnection) -> None:
        self.accepted += 1
        peer = Peer(websocket, self.accepted)
        if self.close_on_accept is not None:
            await websocket.close(*self.close_on_accept)
            return
        async with self._changed:
            self.peers.append(peer)
            self._changed.notify_all()
        try:
            await peer.send(
                type="welcome", connectionId=f"c{peer.number}", protocol=1, heartbeatInterval=self.heartbeat_interval
            )
            async for text in websocket:
                await self._answer(peer, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            async with self._changed:
                self.peers.remove(peer)
                self._changed.notify_all()

    async def _answer(self, peer: Peer, command: Json) -> None:
        await getattr(self, f"_on_{command['type']}")(peer, command)
        async with self._changed:
            peer.commands.append(command)
            self._changed.notify_all()

    async def _on_authenticate(self, peer: Peer, command: Json) -> None:
        if not self.authenticates:
            return
        if command["auth"]["apiKey"] == KEY:
            await peer.send(type="authenticated", user="ann", permissions=["channel:*"], limits={})
            return
        await peer.send(type="error", code="invalid_api_key", message="the API key is not valid", retryable=False)
        await peer.websocket.close(4502, "invalid API key")

    async def _on_subscribe(self, peer: Peer, command: Json) -> None:
        if self.refusals:
            await peer.send(type="error", id=command["id"], **self.refusals.pop(0))
            return
        if self.before_subscribed is not None:
            await self.before_subscribed(peer, command)
        if not self.confirms:
            return
        wanted = {"channel": command["channel"], "filters": command.get("filters", {})}
        room = self._rooms.setdefault(_selection(command), f"{command['channel']}:{next(self._numbers):016x}")
        peer.rooms[room] = wanted
        cursor = command.get("since") or (f"{EPOCH}." if command.get("snapshot") else self.cursor)
        await peer.send(type="subscribed", id=command["id"], room=room, cursor=cursor, **wanted)

    async def _on_unsubscribe(self, peer: Peer, command: Json) -> None:
        del peer.rooms[command["room"]]
        await peer.send(type="unsubscribed", id=command["id"], room=command["room"])


@asynccontextmanager
async def protocol_server() -> AsyncIterator[ProtocolServer]:
    server = ProtocolServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def _selection(command: Json) -> str:
    return json.dumps([command["channel"], command.get("filters", {})], sort_keys=True)


def _matches(room: Json, update: Json) -> bool:
    filters = room["filters"]
    value = update.get("value")
    return (
        room["channel"] == update["channel"]
        and update.get("tokenId") in filters.get("tokenIds", [update.get("tokenId")])
        and ("minValue" not in filters or (value is not None and value >= filters["minValue"]))
    )
