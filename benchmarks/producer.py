"""Writes updates at a steady rate, each with the time of its writing: `python -m benchmarks.producer BROKER TOPIC RATE SECONDS TOKENS`.

Prints `{"published": n, "late": ms, "cpu": share}`: how many, how far behind its plan it was at most, and its share of a core.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop
from aiokafka import AIOKafkaProducer

BODY_BYTES = 250
"""About what a price update with symbol, price and times takes."""


async def produce(bootstrap: str, topic: str, rate: float, seconds: float, tokens: int) -> dict[str, float]:
    """Open loop: each update is written on its time; all are acknowledged at the end."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    total = round(rate * seconds)
    late = 0.0
    try:
        begun, cpu = time.perf_counter(), time.process_time()
        futures = []
        for number in range(total):
            wait = begun + number / rate - time.perf_counter()
            late = max(late, -wait)
            await asyncio.sleep(max(0.0, wait))
            futures.append(
                await producer.send(topic, _update(f"bench-{number % tokens}"), key=f"bench-{number % tokens}".encode())
            )
        await asyncio.gather(*futures)
        share = (time.process_time() - cpu) / (time.perf_counter() - begun)
    finally:
        await producer.stop()
    return {"published": total, "late": late * 1000, "cpu": share}


def _update(token: str) -> bytes:
    stamp = time.time_ns()
    body = (
        f'{{"type":"price_update","tokenId":"{token}","chain":"ethereum","value":67012.5,"data":{{"t":{stamp},"pad":"'
    )
    return (body + "x" * (BODY_BYTES - len(body) - 4) + '"}}').encode()


def main() -> None:
    bootstrap, topic, rate, seconds, tokens = sys.argv[1:]
    print(json.dumps(uvloop.run(produce(bootstrap, topic, float(rate), float(seconds), int(tokens)))), flush=True)


if __name__ == "__main__":
    main()
