"""`python -m deploy.local.replay`: writes the recordings to their topics at a watchable pace, until it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

from aiokafka import AIOKafkaProducer

from common.topics import Topics
from deploy.local.recordings import RECORDINGS, Recording, lines, record


async def play(producer: AIOKafkaProducer, topic: str, recording: Recording) -> None:
    """Write update after update, evenly spaced; a broker that is away is waited for, and what was missed is not made up."""
    due = time.monotonic()
    for line in lines(recording):
        key, value = record(recording, line, int(time.time() * 1000))
        await producer.send_and_wait(topic, value, key=key)
        due = max(due + 1 / recording.per_second, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


async def main() -> None:
    """Play all recordings side by side until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopping.set)
    topics = Topics(prefix=os.environ.get("TOPIC_PREFIX", ""))
    async with contextlib.AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
        stack.push_async_callback(producer.stop)
        await producer.start()
        players = [asyncio.create_task(play(producer, topics.updates(each.channel), each)) for each in RECORDINGS]
        ended = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait([*players, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in {*players, ended} - done:
            task.cancel()
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(main())
