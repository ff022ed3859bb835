"""What one writes first: a Starlette `WebSocketRoute` on stock uvicorn, a set of sockets a room, and a loop that sends.

`python -m benchmarks.rivals.starlette_server [BROKER TOPIC]`; prints `{"port":n}` and takes the same orders as `benchmarks.gateway_core`.
With a broker it sends each record of the topic to the room that the record's key names.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterable

import uvicorn
import uvloop
from aiokafka import AIOKafkaConsumer
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from benchmarks.samples import token_of, update_body

rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def subscribe(websocket: WebSocket) -> None:
    """A member of the room in the path until it goes."""
    await websocket.accept()
    members = rooms[websocket.path_params["room"]]
    members.add(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        pass
    finally:
        members.discard(websocket)


async def send(members: Iterable[WebSocket], text: str) -> None:
    for websocket in tuple(members):
        await websocket.send_text(text)


async def run(seconds: float, updates: int, size: int, count: int) -> dict[str, float]:
    text = update_body(token_of(0), size=size).decode()
    begun, cpu, ticks = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(updates):
            for number in range(count):
                await send(rooms[token_of(number)], text)
        ticks += 1
        await asyncio.sleep(0)
    return {"ticks": ticks, "seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}


async def consume(broker: str, topic: str) -> None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="latest")
    await consumer.start()
    async for record in consumer:
        await send(rooms[record.key.decode()], record.value.decode())


async def take_orders(port: int) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"port": port}), flush=True)
    while line := await reader.readline():
        _, seconds, updates, size, count = line.split()
        print(json.dumps(await run(float(seconds), int(updates), int(size), int(count))), flush=True)
    os._exit(0)


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    app = Starlette(routes=[WebSocketRoute("/rooms/{room}", subscribe)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws_ping_interval=None))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]))
        if len(sys.argv) > 1:
            group.create_task(consume(*sys.argv[1:3]))
        await take_orders(listener.getsockname()[1])


if __name__ == "__main__":
    uvloop.run(main())
