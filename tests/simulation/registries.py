"""The registry of one router, as a process of its own: what it is told of interest it writes to Redis. One at a time has its partitions."""

from __future__ import annotations

from typing import Any, cast

from router.records import Records
from router.registry import Registry as Writer
from router.settings import RouterSettings
from tests.simulation.broker import Broker, Consumer, Kafka
from tests.simulation.loops import Loop
from tests.simulation.memory_redis import MemoryRedis

_POLL_MS = 1000


class Registry:
    """`committed`: where it begins; it goes on as batches are written."""

    def __init__(self, broker: Broker, redis: MemoryRedis, settings: RouterSettings, committed: dict[Any, int]) -> None:
        self.loop = Loop(broker.clock)
        self.committed = committed
        self.stalled = False
        self._kafka = Kafka(broker)
        self._topic = settings.topics().rooms_interest
        self._writer = Writer(settings, Records(cast(Any, redis)))
        self.loop.own(self._run())

    @property
    def consumer(self) -> Consumer | None:
        return self._kafka.consumers[0] if self._kafka.consumers else None

    async def _run(self) -> None:
        consumer = self._kafka.consumer()
        consumer.assign([each for each in self._kafka.broker.logs if each.topic == self._topic])
        consumer.positions.update(self.committed)
        consumer.slow = True
        while True:
            batch = await consumer.getmany(timeout_ms=_POLL_MS)
            records = [record for each in batch.values() for record in each]
            if records:
                await self._writer.handle(records, consumer)
                # As FastStream does: where it stands, also where it was sent back.
                self.committed.update(consumer.positions)

    def kill(self) -> None:
        self._kafka.cut = True
        self.loop.kill()
