"""The load generator: a process of its own that does what it is told by lines of JSON on its standard input.

| order | answer |
|---|---|
| `{"do":"connect","keys":[...],"rate":100}` | a socket for each key at that rate; `{"milliseconds":[...],"failed":[...]}` |
| `{"do":"open","sockets":n,"keys":[...],"tokens":[...]}` | opens and subscribes sockets, token by token in turn; `{"seconds":...}` |
| `{"do":"start"}` | forgets what was received so far |
| `{"do":"stop","expected":n,"within":s}` | waits for so many updates; `{"received":n,"milliseconds":{bucket:count},...}` |
| `{"do":"close"}` | closes all sockets |

Each answer carries `cpu`: this process's share of a core since the last answer.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from typing import Any

import uvloop

from benchmarks.sockets import Refused, Socket

BUCKET_MS = 0.1
OPENING_AT_ONCE = 64


class Load:
    """All sockets of this process, and how late their updates came."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._target = (host, port, path)
        self._sockets: list[Socket] = []
        self._buckets: Counter[int] = Counter()
        self._received = 0

    async def connect(self, keys: list[str], rate: float) -> dict[str, Any]:
        """Open loop: each begins on its time, however long the others take."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        results: list[float] = []
        failed: list[str] = []
        async with asyncio.TaskGroup() as group:
            for number, key in enumerate(keys):
                await asyncio.sleep(max(0.0, begun + number / rate - loop.time()))
                group.create_task(self._connect_one(key, results, failed))
        return {"milliseconds": results, "failed": failed}

    async def open(self, sockets: int, keys: list[str], tokens: list[str]) -> dict[str, Any]:
        begun = time.perf_counter()
        numbers = iter(range(sockets))

        async def work() -> None:
            for number in numbers:
                await self._open_one(keys[number % len(keys)], tokens[number % len(tokens)])

        async with asyncio.TaskGroup() as group:
            for _ in range(OPENING_AT_ONCE):
                group.create_task(work())
        gc.collect()
        gc.freeze()
        return {"sockets": len(self._sockets), "seconds": time.perf_counter() - begun}

    def start(self) -> dict[str, Any]:
        self._buckets.clear()
        self._received = 0
        for socket in self._sockets:
            socket.updates = 0
        return {}

    async def stop(self, expected: int, within: float) -> dict[str, Any]:
        limit = time.monotonic() + within
        while self._received < expected and time.monotonic() < limit:  # noqa: ASYNC110 - an event costs each frame
            await asyncio.sleep(0.05)
        counts = [socket.updates for socket in self._sockets]
        return {
            "received": self._received,
            "least": min(counts, default=0),
            "most": max(counts, default=0),
            "milliseconds": {str(bucket): count for bucket, count in self._buckets.items()},
        }

    def close(self) -> dict[str, Any]:
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()
        return {}

    async def _connect_one(self, key: str, results: list[float], failed: list[str]) -> None:
        begun = time.perf_counter()
        try:
            socket = await Socket.connect(*self._target, key, self._note)
        except (Refused, OSError, TimeoutError) as error:
            failed.append(f"{type(error).__name__}: {error}")
            return
        results.append((time.perf_counter() - begun) * 1000)
        self._sockets.append(socket)

    async def _open_one(self, key: str, token: str) -> None:
        socket = await Socket.connect(*self._target, key, self._note)
        socket.send(json.dumps({"type": "subscribe", "channel": "prices", "filters": {"tokenIds": [token]}}).encode())
        await socket.reply(b"subscribed")
        self._sockets.append(socket)

    def _note(self, milliseconds: float) -> None:
        self._received += 1
        self._buckets[int(milliseconds / BUCKET_MS)] += 1


async def serve(load: Load) -> None:
    """Carry out orders until the input ends."""
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    cpu, wall = time.process_time(), time.perf_counter()
    while line := await reader.readline():
        order = json.loads(line)
        answer = await _carry_out(load, order)
        now_cpu, now_wall = time.process_time(), time.perf_counter()
        answer["cpu"] = (now_cpu - cpu) / (now_wall - wall)
        cpu, wall = now_cpu, now_wall
        print(json.dumps(answer), flush=True)


async def _carry_out(load: Load, order: dict[str, Any]) -> dict[str, Any]:
    match order:
        case {"do": "connect", "keys": keys, "rate": rate}:
            return await load.connect(keys, rate)
        case {"do": "open", "sockets": sockets, "keys": keys, "tokens": tokens}:
            return await load.open(sockets, keys, tokens)
        case {"do": "start"}:
            return load.start()
        case {"do": "stop", "expected": expected, "within": within}:
            return await load.stop(expected, within)
        case {"do": "close"}:
            return load.close()
        case _:
            raise ValueError(f"unknown order {order}")


def main() -> None:
    host, port, path = sys.argv[1:]
    uvloop.run(serve(Load(host, int(port), path)))


if __name__ == "__main__":
    main()
