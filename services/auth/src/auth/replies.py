"""Where decisions go: each to the partition of `auth.replies` that is the asking gateway's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from common.identifiers import Slot
from common.producer import RenewedProducer


class Replies(Protocol):
    async def send(self, replies: Sequence[tuple[Slot, bytes]]) -> None:
        """Returns when all are acknowledged."""
        ...


class MemoryReplies:
    """Keeps what was sent: for tests."""

    def __init__(self) -> None:
        self.sent: list[tuple[Slot, bytes]] = []

    async def send(self, replies: Sequence[tuple[Slot, bytes]]) -> None:
        self.sent += replies


class KafkaReplies:
    """Raises `KafkaError` when the broker has not acknowledged within the producer's request timeout."""

    def __init__(self, producer: RenewedProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, replies: Sequence[tuple[Slot, bytes]]) -> None:
        acknowledged = [await self._producer.send(self._topic, reply, partition=slot) for slot, reply in replies]
        await asyncio.gather(*acknowledged)
