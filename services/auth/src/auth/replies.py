"""Where decisions go: each to the partition of `auth.replies` that is the asking gateway's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from common.clock import Clock
from common.identifiers import Slot
from common.kafka import KafkaError

_FAILING_SECONDS = 60.0
"""How long one failure counts when none is tried after it: what cannot be answered is read again and tried within seconds."""


class Sender(Protocol):
    async def send(self, topic: str, value: bytes | None, *, partition: int | None = None) -> asyncio.Future[Any]: ...


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
    """`send` raises `KafkaError` when the broker has not acknowledged within the producer's request timeout."""

    def __init__(self, producer: Sender, topic: str, clock: Clock) -> None:
        self._producer = producer
        self._topic = topic
        self._clock = clock
        self._failed: tuple[KafkaError, float] | None = None

    async def send(self, replies: Sequence[tuple[Slot, bytes]]) -> None:
        try:
            acknowledged = [await self._producer.send(self._topic, reply, partition=slot) for slot, reply in replies]
            await asyncio.gather(*acknowledged)
        except KafkaError as error:
            self._failed = error, self._clock.monotonic()
            raise
        if replies:
            self._failed = None

    async def check(self) -> None:
        """Raises the `KafkaError` with which replies fail, until some are acknowledged: a broker may answer, and take none."""
        if self._failed is not None and self._clock.monotonic() - self._failed[1] < _FAILING_SECONDS:
            raise self._failed[0]
