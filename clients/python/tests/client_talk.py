"""Waiting for what a client brings, each with a limit."""

import asyncio
from typing import Any

from clients.python.tests.protocol_server import LIMIT, ProtocolServer
from defistream import Subscription, events


async def take(subscription: Subscription, count: int) -> list[str]:
    """The ids of the next updates."""
    async with asyncio.timeout(LIMIT):
        return [(await anext(subscription)).id for _ in range(count)]


async def next_event(heard: asyncio.Queue[events.Event], kind: type[Any]) -> Any:
    async with asyncio.timeout(LIMIT):
        while not isinstance(event := await heard.get(), kind):
            pass
    return event


async def publish_when_subscribed(server: ProtocolServer, **fields: Any) -> None:
    await server.until_subscribed()
    await server.publish(**fields)
