"""What tests ask a broker, or do to its topics, as outsiders; outside an event loop where not said otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from tests.support.waiting import eventually

T = TypeVar("T")


def answers_kafka(bootstrap: str) -> bool:
    """Whether the broker tells its topics; an open port alone may be a proxy's."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        _ask(bootstrap, AIOKafkaAdminClient.list_topics)
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        logging.getLogger("aiokafka").setLevel(logging.NOTSET)
    return True


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete each topic whose name begins with the prefix."""

    async def delete(admin: AIOKafkaAdminClient) -> None:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if names:
            await admin.delete_topics(names)

    _ask(bootstrap, delete)


async def make_anew(admin: AIOKafkaAdminClient, topic: str, partitions: int, *, limit: float) -> None:
    """Delete a topic, and make it again as soon as it can be: `limit` seconds at most. In an event loop."""
    await admin.delete_topics([topic])

    async def made() -> bool:
        response = await admin.create_topics([NewTopic(topic, partitions, 1)])
        return all(error[1] == 0 for error in response.topic_errors)

    await eventually(made, "the topic is made anew", limit=limit)


def _ask(bootstrap: str, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    async def ask() -> T:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
        try:
            async with asyncio.timeout(30):
                await admin.start()
                return await question(admin)
        finally:
            await admin.close()

    with asyncio.Runner() as runner:
        return runner.run(ask())
