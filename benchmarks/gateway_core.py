"""One gateway with its broker, auth and router in memory: `python -m benchmarks.gateway_core`.

Everything of the gateway is the product's own, as `gateway.app.build` makes it: uvicorn, WebSockets, sessions, hub, and the reader of
deliveries, which is given encoded records where it would fetch them from Kafka. Prints `{"port":n}`; then takes lines
`run SECONDS UPDATES BYTES ROOMS` (tabs between): ticks as fast as they go, in each tick UPDATES to each room.
Answers `{"ticks":n,"seconds":s,"cpu":s,"updates":n}`; what it takes to encode the records is not in the times.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import uvloop

from benchmarks.samples import token_of, update_body
from common.channels import Channel
from common.deliveries import VERSION, Activated, Delivery, Item, Routed, Segment, encode_delivery
from common.events import AuthReply, Decision
from common.filters import parse_filter
from common.health import listen
from common.identifiers import FencingEpoch, KeyHash, Slot
from common.kafka import MAX_RECORD_BYTES
from common.lifecycle import collect_garbage_seldom
from common.rooms import room_of
from common.settings import load_settings
from gateway.app import App, build
from gateway.fan_out import FanOut
from gateway.file_limit import raise_file_limit
from gateway.records import Headers
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings
from gateway.slot import Lease

SLOT, EPOCH, STREAM = Slot(0), FencingEpoch(1), "bench"
SETTINGS = {
    "GATEWAY_HEARTBEAT_INTERVAL": "12h",
    "GATEWAY_IDLE_TIMEOUT": "24h",
    "GATEWAY_AUTH_TIMEOUT": "24h",
    "GATEWAY_MAX_CONNECTIONS": "19500",
    "GATEWAY_SUBSCRIPTION_CHANGES_PER_MINUTE": "1000",
    "GATEWAY_OUTBOX_BYTES": str(64 * 1024 * 1024),
    "LOG_LEVEL": "WARNING",
}
"""Nothing happens but what is measured; and the reader may fall behind for a while, as it may share its core."""


class Where(NamedTuple):
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    value: bytes


class Around:
    """What is around the gateway: takes its records as a producer does, and answers as auth and router do."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._topics = app.settings.topics()

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, *, headers: Headers | None = None
    ) -> asyncio.Future[Where]:
        del key, headers
        loop = asyncio.get_running_loop()
        if value is not None and topic == self._topics.auth_requests:
            loop.call_soon(self._authenticate, json.loads(value))
        elif value is not None and topic == self._topics.rooms_interest and b'"room"' in value:
            loop.call_soon(self._activate, json.loads(value))
        done: asyncio.Future[Where] = loop.create_future()
        done.set_result(Where(0, 0))
        return done

    def _authenticate(self, request: dict[str, Any]) -> None:
        decision = Decision(allowed=True, user=f"user-{request['key_hash'][:12]}", permissions=frozenset({"channel:*"}))
        key_hash = KeyHash(request["key_hash"])
        reply = AuthReply(request=request["request"], epoch=EPOCH, key_hash=key_hash, decision=decision)
        self._app.authentication.replied(reply.encode())
        for _ in self._app.authentication.handing_out():
            pass

    def _activate(self, interest: dict[str, Any]) -> None:
        answer = Activated(interest["room"], 0, interest["request"])
        self._app.tenancy.hub.deliver(_delivery([answer]))


class Feed:
    """In the place of the consumer of deliveries: each `getmany` is one tick, as long as a run lasts, once the one before is written.

    The gateway reads ahead while it writes, and would join what it has read.
    """

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self._runs: asyncio.Queue[tuple[float, int, int, int]] = asyncio.Queue(1)
        self._answers: asyncio.Queue[dict[str, float]] = asyncio.Queue(1)
        self._until = 0.0
        self._running = False
        self._offset = 0

    async def run(self, seconds: float, updates: int, size: int, rooms: int) -> dict[str, float]:
        await self._runs.put((seconds, updates, size, rooms))
        return await self._answers.get()

    async def getmany(self, timeout_ms: int) -> dict[int, list[Record]]:  # noqa: ARG002 - as the consumer has it
        await asyncio.sleep(0)
        while self._fan_out.waits:  # noqa: ASYNC110 - it tells nobody when all is written
            await asyncio.sleep(0)
        if self._running and time.perf_counter() < self._until:
            return self._tick()
        if self._running:
            self._running = False
            await self._answers.put(self._figures())
        seconds, self._updates, size, rooms = await self._runs.get()
        self._rooms = [room_of(Channel.PRICES, parse_filter({"tokenIds": [token_of(n)]})).id for n in range(rooms)]
        self._body = update_body(token_of(0), size=size)
        self._running, self._ticks, self._feeding, self._feeding_cpu = True, 0, 0.0, 0.0
        self._begun, self._cpu = time.perf_counter(), time.process_time()
        self._until = self._begun + seconds
        return self._tick()

    def _tick(self) -> dict[int, list[Record]]:
        begun, cpu = time.perf_counter(), time.process_time()
        values, items, taken = [], list[Item](), 0
        for _ in range(self._updates):
            for room in self._rooms:
                self._offset += 1
                items.append(Routed(self._offset, [room], self._body, 0, None, b"key"))
                taken += len(self._body) + 64
                if taken > MAX_RECORD_BYTES - 2048:
                    values.append(Record(encode_delivery(_delivery(items))))
                    items, taken = [], 0
        values.append(Record(encode_delivery(_delivery(items))))
        self._ticks += 1
        self._feeding += time.perf_counter() - begun
        self._feeding_cpu += time.process_time() - cpu
        return {0: values}

    def _figures(self) -> dict[str, float]:
        seconds, cpu = time.perf_counter() - self._begun, time.process_time() - self._cpu
        updates = self._ticks * self._updates
        return {
            "ticks": self._ticks,
            "seconds": seconds - self._feeding,
            "cpu": cpu - self._feeding_cpu,
            "feeding": self._feeding,
            "updates": updates * len(self._rooms),
        }


def _delivery(items: list[Item]) -> Delivery:
    return Delivery(VERSION, EPOCH, 0, [Segment(Channel.PRICES.value, 0, 1, STREAM, items)])


async def serve() -> None:
    os.environ.update(SETTINGS)
    app = build(load_settings(GatewaySettings, prefix="GATEWAY_"))
    raise_file_limit(app.settings.gateway_max_connections)
    app.partitions.update({channel.value: 1 for channel in Channel})
    for tenant in app.tenancy.tenants:
        tenant.leased(SLOT, EPOCH)
    listener = listen("127.0.0.1", 0, variable="GATEWAY_PORT", backlog=4096)
    feed = Feed(app.tenancy.hub.fan_out)
    server = GatewayServer(app.http, app.connections)
    lease = Lease(SLOT, EPOCH)
    async with asyncio.TaskGroup() as group:
        group.create_task(app.records.run(Around(app)))
        group.create_task(app.ticker.run())
        group.create_task(app.tenancy.deliveries.run(feed, lease))
        group.create_task(server.serve(sockets=[listener]))
        await _take_orders(feed, listener.getsockname()[1])


async def _take_orders(feed: Feed, port: int) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"port": port}), flush=True)
    while line := await reader.readline():
        _, seconds, updates, size, rooms = line.split()
        print(json.dumps(await feed.run(float(seconds), int(updates), int(size), int(rooms))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    collect_garbage_seldom()
    uvloop.run(serve())
