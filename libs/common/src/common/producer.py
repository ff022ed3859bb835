"""A producer that is made when first used, and anew after it has failed: one that failed may refuse everything from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from common.endings import Endings, end_within
from common.kafka import AIOKafkaProducer, Kafka, check

_STOP_SECONDS = 3.0
_END_SECONDS = 60.0


class RenewedProducer:
    """For what is repeated by the caller when it fails. `send` raises `KafkaError`, at once or by the future."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._endings = Endings()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Any]:
        producer = await self.start()
        future: asyncio.Future[Any] = await producer.send(topic, value, key, partition, headers=headers)
        future.add_done_callback(lambda done: self._check(producer, done))
        return future

    async def start(self) -> AIOKafkaProducer:
        """The present producer, started. Raises `KafkaError` when Kafka is away."""
        async with self._starting:
            if self._producer is None:
                self._producer = await self._kafka.start_producer()
            return self._producer

    async def check(self) -> None:
        """Raises `KafkaError` when no broker answers."""
        await check(await self.start())

    async def stop(self) -> None:
        """Returns within seconds: what a broker that is away does not take by then is given up."""
        if self._producer is not None:
            await end_within(_STOP_SECONDS, "producer", self._producer.stop())
        await self._endings.stop()

    def _check(self, producer: Any, done: asyncio.Future[Any]) -> None:
        is_present = producer is self._producer
        if done.cancelled() or done.exception() is None or not is_present:
            return
        self._producer = None
        self._endings.add(end_within(_END_SECONDS, "failed producer", producer.stop()))
