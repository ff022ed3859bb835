"""A gateway on a real TCP port, as the service builds it, with what is around it in memory: a broker, an auth and a router."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from common.channels import Channel
from common.deliveries import Activated, Began, OperatorMessage, Replayed, Routed, Verdict
from common.events import AuthReply, Decision
from common.health import listen
from common.identifiers import FencingEpoch, KeyHash, RoomId, Slot, hash_api_key
from common.rooms import Room
from gateway.app import App, build
from gateway.protocol.session import Session
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings
from gateway.websocket import WebSocket
from services.gateway.tests.roles import MemoryProducer, Written, delivery
from tests.support.client import Client, Introduction
from tests.support.waiting import eventually

SLOT, EPOCH = Slot(0), FencingEpoch(1)
PARTITIONS = 2
KEY = "alices-key"
EVERYTHING = frozenset({"channel:*", "broadcast"})
DECISIONS = {KEY: Decision(allowed=True, user="alice", permissions=EVERYTHING)}


class Running:
    """`decisions` is what auth says of keys, `away` which of "auth" and "router" do not answer."""

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.url = f"ws://127.0.0.1:{port}{app.settings.path}"
        self.http = f"http://127.0.0.1:{port}"
        self.decisions = dict(DECISIONS)
        self.away: set[str] = set()
        self._topics = app.settings.topics()
        self._next: dict[tuple[str, int], int] = {}
        self._clients: list[Client] = []
        self.producer = MemoryProducer(
            {self._topics.auth_requests: self._authenticate, self._topics.rooms_interest: self._activate}
        )

    # What is around it -----------------------------------------------------------------------------------------------

    def _authenticate(self, record: Written) -> None:
        if "auth" in self.away:
            return
        request, key_hash = record.json["request"], KeyHash(record.json["key_hash"])
        pepper = self.app.settings.api_key_pepper.get_secret_value()
        known = {hash_api_key(key, pepper): decision for key, decision in self.decisions.items()}
        decision = known.get(key_hash, Decision(allowed=False, reason="the key is unknown"))
        reply = AuthReply(request=request, epoch=EPOCH, key_hash=key_hash, decision=decision)
        self.app.authentication.replied(reply.encode())
        list(self.app.authentication.handing_out())

    def _activate(self, record: Written) -> None:
        if "router" in self.away or record.value is None or "room" not in record.json:
            return
        channel, room, request = (record.json[name] for name in ("channel", "room", "request"))
        for partition in range(PARTITIONS):
            offset = self._next.get((channel, partition), 0)
            self._deliver(Activated(room, offset, request), channel=channel, partition=partition)

    def publish(
        self, room: Room, *bodies: bytes, partition: int = 0, user: str | None = None, key: bytes | None = None
    ) -> None:
        """Updates that match a room, in one tick."""
        first = self._next.get((room.channel.value, partition), 0)
        self._next[room.channel.value, partition] = first + len(bodies)
        items = [Routed(first + n, [room.id], body, 0, user, key) for n, body in enumerate(bodies)]
        self._deliver(*items, channel=room.channel.value, partition=partition)

    def publish_with_activation(self, published: Room, body: bytes, *, of: Room) -> None:
        """An update of one room and the activation of another, in one tick, on the first partition; then on the others."""
        channel, request = of.channel.value, self._request(of)
        first = self._next.get((channel, 0), 0)
        self._next[channel, 0] = first + 1
        update = Routed(first, [published.id], body, 0)
        self._deliver(update, Activated(of.id, first + 1, request), channel=channel)

    def activate(self, room: Room, partition: int) -> None:
        offset = self._next.get((room.channel.value, partition), 0)
        self._deliver(Activated(room.id, offset, self._request(room)), channel=room.channel.value, partition=partition)

    def asks(self, room: Room) -> list[int]:
        """Numbers of the records that want a room, in order."""
        records = self.producer.on(self._topics.rooms_interest)
        wanted = (record.json for record in records if record.value is not None)
        return list(dict.fromkeys(int(each["request"]) for each in wanted if each.get("room") == room.id))

    def answer(self, room: Room, request: int, *offsets: int, partition: int, upto: int) -> None:
        """What a partition replays for a record, and from where on it is live."""
        bodies = {offset: orjson.dumps({"type": "price_update", "id": f"{partition}:{offset}"}) for offset in offsets}
        replayed = [Replayed(offset, [(room.id, request)], body, 0) for offset, body in bodies.items()]
        answers = Began(room.id, request, Verdict.REPLAY, 0), *replayed, Activated(room.id, upto, request)
        self._deliver(*answers, channel=room.channel.value, partition=partition)

    def _request(self, room: Room) -> int:
        records = self.producer.on(self._topics.rooms_interest)
        wanted = [record.json for record in records if record.value is not None]
        return max(int(each["request"]) for each in wanted if each.get("room") == room.id)

    def tell_everyone(self, body: bytes) -> None:
        self._deliver(OperatorMessage(0, body), channel="system")

    def _deliver(self, *items: Any, channel: str, partition: int = 0) -> None:
        hub = self.app.connections.hub
        hub.deliver(delivery(*items, channel=channel, partition=partition))
        hub.flush()

    # What it did -----------------------------------------------------------------------------------------------------

    def events(self) -> list[dict[str, Any]]:
        """What the registry was told, in order."""
        topics = (self._topics.connections_events, self._topics.subscriptions_events)
        return [record.json for record in self.producer.written if record.topic in topics]

    def wanted(self) -> set[RoomId]:
        """The rooms that `rooms.interest` names for the slot."""
        last = {record.key: record.value for record in self.producer.on(self._topics.rooms_interest)}
        found = (orjson.loads(value) for value in last.values() if value is not None)
        return {RoomId(each["room"]) for each in found if "room" in each}

    @property
    def connections(self) -> Sequence[WebSocket]:
        return self.app.connections.all()

    def session(self) -> Session:
        """The session of the only connection."""
        (connection,) = self.connections
        return connection.session

    async def until(self, condition: Any, what: str) -> None:
        async def holds() -> bool:
            return bool(condition())

        await eventually(holds, what)

    async def until_empty(self) -> None:
        await self.until(lambda: not self.connections, "no connection is left")

    # Clients ---------------------------------------------------------------------------------------------------------

    async def connect(self, key: str | None = KEY, *, headers: Mapping[str, str] | None = None) -> Client:
        """A client; authenticated where it has a key."""
        given = {} if key is None else {"x-api-key": key}
        client = await Client.open(self.url, Introduction(headers={**given, **(headers or {})}))
        self._clients.append(client)
        if key is not None:
            await client.expect("authenticated")
        return client

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Running]:
    """Serving, in a slot, until the block ends. A task of its own owns all the others: a fixture begins and ends in different ones."""
    app = build(GatewaySettings(**settings))
    app.partitions.update((channel.value, PARTITIONS) for channel in Channel)
    listener = listen("127.0.0.1", 0, variable="GATEWAY_PORT")
    gateway = Running(app, listener.getsockname()[1])
    app.publisher.producer = gateway.producer
    for tenant in app.tenancy.tenants:
        tenant.leased(SLOT, EPOCH)
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(gateway, listener, stop))
    try:
        yield gateway
    finally:
        await gateway.close()
        stop.set()
        await serving


async def _serve(gateway: Running, listener: socket.socket, stop: asyncio.Event) -> None:
    app, server = gateway.app, GatewayServer(gateway.app.http, gateway.app.connections)
    async with asyncio.TaskGroup() as group:
        http = group.create_task(server.serve(sockets=[listener]))
        background = [group.create_task(app.records.run(gateway.producer)), group.create_task(app.ticker.run())]
        await stop.wait()
        # An orderly end takes uvicorn 0.2 s, and nothing here is about it.
        for task in (http, *background):
            task.cancel()
        server.arrivals.close()
        await app.redis.aclose()
