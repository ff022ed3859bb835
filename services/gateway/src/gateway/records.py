"""Control records on their way to Kafka: put at once, sent in order by one task, kept while the broker is away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from common.kafka import AIOKafkaProducer, KafkaError
from common.logs import describe, get_logger

log = get_logger("records")

MAX_WAITING = 100_000
Acknowledged = Callable[[int, int], None]
Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    acknowledged: Acknowledged | None = None
    """Called with partition and offset once the broker has it."""


class Records:
    """At most 100,000 records wait. At that bound `is_full` turns new work away; what ends earlier work is still taken."""

    def __init__(self) -> None:
        self._waiting: deque[Outgoing] = deque()
        self._wake = asyncio.Event()
        self._unacknowledged = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING

    @property
    def is_idle(self) -> bool:
        """Whether the broker has everything that was put."""
        return self._idle.is_set()

    def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers = (),
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """Records of one topic and key arrive in the order of the calls."""
        self._waiting.append(Outgoing(topic, key, value, headers, acknowledged))
        self._idle.clear()
        self._wake.set()

    async def run(self, producer: AIOKafkaProducer) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._send(producer, self._waiting[0])
                self._waiting.popleft()
                self._unacknowledged += 1

    async def flushed(self) -> None:
        """Return when everything put so far is acknowledged, or has failed."""
        await self._idle.wait()

    async def _send(self, producer: AIOKafkaProducer, record: Outgoing) -> None:
        while True:
            try:
                future = await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
            except KafkaError as error:
                log.warning("record_not_sent", topic=record.topic, **describe(error))
                await asyncio.sleep(0.5)
            else:
                future.add_done_callback(lambda done: self._settled(record, done))
                return

    def _settled(self, record: Outgoing, done: asyncio.Future[Any]) -> None:
        self._unacknowledged -= 1
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("record_not_acknowledged", topic=record.topic, **describe(error))
        elif not done.cancelled() and record.acknowledged is not None:
            metadata = done.result()
            record.acknowledged(metadata.partition, metadata.offset)
        if not self._unacknowledged and not self._waiting:
            self._idle.set()
