"""Past: what our partitions had before, for those who ask: wires passes, tables and history."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping

from common.clock import Clock
from common.kafka import Kafka, TopicPartition
from router.activation import Owned, Ownership
from router.checkpoints import Checkpoints
from router.history import History
from router.outgoing import Outgoing
from router.passes import Passes
from router.replay import Ask
from router.settings import RouterSettings
from router.sources import Source, Sources
from router.tables import Tables

_WRITE_SECONDS = 2.0
"""Longest wait for checkpoints when partitions go; the group waits for us meanwhile."""


class Past:
    def __init__(
        self,
        settings: RouterSettings,
        kafka: Kafka,
        *,
        ownership: Ownership,
        outgoing: Outgoing,
        checkpoints: Checkpoints,
        clock: Clock,
    ) -> None:
        self._interval = settings.router_checkpoint_interval.total_seconds()
        self._ownership = ownership
        self._history = History(kafka, Sources(settings.topics()))
        self._tables = Tables(ownership, self._history, checkpoints)
        limit = settings.router_replay_bytes
        self._passes = Passes(ownership, self._history, self._tables, outgoing, clock=clock, pending_bytes=limit)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._passes.run())
            group.create_task(self._tables.run(self._interval))

    async def stop(self) -> None:
        await self._history.stop()

    async def end_of(self, partition: TopicPartition, least: int) -> int:
        """Where it ends, `least` or more. Raises `KafkaError`."""
        return await self._history.end(partition, least)

    def taken(self, asks: Iterable[tuple[Source, Ask]]) -> None:
        """Partitions have become ours; this was asked of them meanwhile."""
        self._tables.build()
        self.ask(asks)

    def ask(self, asks: Iterable[tuple[Source, Ask]]) -> None:
        self._passes.ask(asks)

    def drop(self) -> Mapping[Source, Owned]:
        """Own nothing from here on. Returns what it was, for `keep`."""
        owned = self._ownership.owned()
        self._ownership.drop(owned)
        self._passes.drop()
        self._tables.drop()
        return owned

    async def keep(self, owned: Mapping[Source, Owned]) -> None:
        """Write checkpoints of these for a limited time: what is not written, the next owner reads from the topic."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._tables.write(owned)
