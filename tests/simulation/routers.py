"""A router process: the product's own parts as `router.app` wires them, on a loop that runs when the world lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from common.clock import ManualClock
from common.producer import RenewedProducer
from router.bootstrap import bootstrap
from router.checkpoints import Checkpoints
from router.generations import Generations
from router.interest import InterestFold
from router.interest_log import InterestLog
from router.partitions import Partitions
from router.reaper import ExpiredLeases, Reaper
from router.records import Records
from router.settings import RouterSettings
from tests.simulation.broker import Broker, Consumer, Kafka, Producer
from tests.simulation.loops import Loop
from tests.simulation.memory_redis import MemoryRedis


class Router:
    def __init__(self, broker: Broker, group: Any, redis: MemoryRedis, settings: RouterSettings) -> None:
        clock: ManualClock = broker.clock
        self.loop = Loop(clock)
        self.kafka = Kafka(broker)
        self.kafka.group = group
        self.stalled = False
        kafka, store = cast(Any, self.kafka), cast(Any, redis)
        self._fold = fold = InterestFold()
        self._records, self._slots = Records(store), settings.slots
        self.interest = InterestLog(kafka, settings.topics(), fold)
        self.partitions = Partitions(
            settings,
            kafka,
            fold=fold,
            interest=self.interest,
            generations=Generations(store, clock),
            checkpoints=Checkpoints(store),
            clock=clock,
        )
        self._interval = settings.router_reaper_interval.total_seconds()
        grace = settings.router_reaper_grace.total_seconds()
        self._reaper = Reaper(
            store,
            self._records,
            RenewedProducer(kafka),
            settings.topics(),
            name="router",
            leases=ExpiredLeases(grace, settings.slot_lease.total_seconds() + grace),
            clock=clock,
        )
        self.loop.own(self._run())

    async def _run(self) -> None:
        await bootstrap(self._fold, self._records, slots=self._slots)
        await self.interest.start()
        for consumer in self.kafka.consumers:
            # What it reads of the interest topic, and when, is the world's to say as well.
            consumer.slow = True
        await self.partitions.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.interest.run(self.partitions.answer))
            group.create_task(self._reaper.run(self._interval))
            await self.partitions.run(asyncio.Event())

    @property
    def member(self) -> Consumer | None:
        """Its consumer in the group."""
        return next((each for each in self.kafka.consumers if each.grouped), None)

    @property
    def producers(self) -> Sequence[Producer]:
        return self.kafka.producers

    def kill(self) -> None:
        self.kafka.cut = True
        self.loop.kill()
