"""Opens clients for a test, and closes them after it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tests.support.client import WAYS, Client, Introduction
from tests.support.producer import Producer
from tests.support.samples import unique, update
from tests.support.system import Service, System


class Connect:
    """Opens clients and closes them after the test."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._clients: list[Client] = []

    async def __call__(
        self, key: str | None = None, *, gateway: Service | None = None, way: str = "authorization_bearer"
    ) -> Client:
        """An authenticated client, of the first gateway where none is named, with the key of alice, who may do all, where none is given."""
        client = await self.unauthenticated(WAYS[way](key or self._system.key()), gateway=gateway)
        await client.expect("authenticated")
        return client

    async def unauthenticated(
        self, introduction: Introduction | None = None, *, gateway: Service | None = None
    ) -> Client:
        client = await Client.open((gateway or self._system.gateway).realtime, introduction)
        self._clients.append(client)
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()


async def settle(producer: Producer, channel: str, *clients: Client) -> None:
    """Return when each of the clients has been sent all that it will get of the updates published to the channel so far.

    Each subscribes to a mark of its own, which then follows those updates through each partition; deliveries keep that order.
    """
    mark = unique("mark")
    await asyncio.gather(*(client.subscribe(channel, {"tokenIds": [mark]}) for client in clients))
    partitions = await producer.partitions(channel)
    published = [await producer.publish(update(channel, tokenId=mark), partition=partition) for partition in partitions]
    for client in clients:
        await client.expect_updates(*published)
        await client.unsubscribe(channel=channel, filters={"tokenIds": [mark]})
