"""Tables: builds the latest tables of the partitions that we take, and writes their checkpoints.

A table is loaded from its checkpoint, where Redis has one of the same stream, and from the topic from there to where routing began;
else from the topic's start. Routing does not wait for it; snapshots do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial

from common import metrics
from common.backoff import Backoff
from common.kafka import KafkaError
from common.logs import describe, get_logger
from common.redis import RedisError
from router.activation import Owned, Ownership
from router.checkpoints import Checkpoints, Written
from router.history import SourceLog
from router.jobs import Jobs
from router.latest import Latest, State
from router.sources import Source

log = get_logger("tables")

_CHUNK = 200
"""Updates taken at a time, between which routing goes on."""


class Tables:
    def __init__(self, ownership: Ownership, history: SourceLog, checkpoints: Checkpoints) -> None:
        self._ownership = ownership
        self._history = history
        self._checkpoints = checkpoints
        self._ready: dict[Source, asyncio.Event] = {}
        self._jobs: Jobs[Source] = Jobs()

    def build(self) -> None:
        """Begin to build those of the partitions that we own now."""
        for source, owned in self._ownership.owned().items():
            if owned.latest is not None:
                ready = self._ready[source] = asyncio.Event()
                self._jobs.start(source, partial(self._build, source, owned, owned.latest, ready))

    def drop(self) -> None:
        """Our partitions are ours no more."""
        self._ready.clear()
        self._jobs.cancel_all()

    async def ready(self, source: Source) -> None:
        """Return once the table of a partition of ours is complete."""
        await self._ready[source].wait()

    async def run(self, interval: float) -> None:
        """Build what is begun, and write checkpoints each `interval` seconds, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._jobs.run())
            while True:
                await asyncio.sleep(interval)
                owned = self._ownership.owned()
                await self.write(owned)
                tables = [each.latest for each in owned.values() if each.latest is not None]
                metrics.router_latest_entities.set(sum(map(len, tables)))

    # Checkpoints ----------------------------------------------------------------------------------------------------

    async def write(self, owned: Mapping[Source, Owned]) -> None:
        """Bring the checkpoints of these up to date; what could not be written is logged, and written in whole the next time."""
        for source, each in owned.items():
            changes = each.latest.take_changes() if each.latest is not None else None
            if each.latest is None or changes is None:
                continue
            stream = each.stream
            try:
                written = await self._checkpoints.write(source, each.generation, stream, changes)
            except RedisError as error:
                log.warning("checkpoint_not_written", source=source, **describe(error))
                each.latest.not_written()
                metrics.router_checkpoints_total.labels("failed").inc()
                return
            if written is Written.UNKNOWN:
                each.latest.not_written()
            metrics.router_checkpoints_total.labels(written.name.lower()).inc()

    # Building -------------------------------------------------------------------------------------------------------

    async def _build(self, source: Source, owned: Owned, latest: Latest, ready: asyncio.Event) -> None:
        backoff = Backoff()
        while latest.state is State.BUILDING:
            try:
                origin = await self._load(source, owned, latest)
                await self._read(source, latest)
            except KafkaError as error:
                log.warning("table_waits", source=source, **describe(error))
                await asyncio.sleep(backoff.next())
                continue
            latest.complete()
            metrics.router_latest_builds_total.labels(origin).inc()
        ready.set()

    async def _load(self, source: Source, owned: Owned, latest: Latest) -> str:
        """Take what the checkpoint has, if there is one of use, and say where to read on. Returns what it was."""
        bounds = await self._history.bounds(source)
        try:
            found = await self._checkpoints.claim(source, owned.generation)
            end = max(bounds.end, latest.start)
            if found is not None and found.stream == self._ownership.stream(source) and found.offset <= end:
                latest.begin(max(found.offset, bounds.oldest), checkpoint=found.offset)
                async with aclosing(self._checkpoints.load(source)) as parts:
                    async for entries in parts:
                        latest.load(entries)
                if await self._checkpoints.is_held(source, owned.generation, found):
                    return "checkpoint"
                log.warning("table_without_checkpoint", source=source, reason="emptied meanwhile")
        except RedisError as error:
            log.warning("table_without_checkpoint", source=source, **describe(error))
        latest.begin(bounds.oldest, checkpoint=None)
        return "topic"

    async def _read(self, source: Source, latest: Latest) -> None:
        """Read the topic from where the table stands to where routing began."""
        if latest.next >= latest.start:
            return
        async with aclosing(self._history.read(source, latest.next)) as batches:
            async for changes, following in batches:
                upto = min(following, latest.start)
                before = [change for change in changes if change.offset < upto]
                for at in range(0, len(before), _CHUNK):
                    latest.read(before[at : at + _CHUNK])
                    await asyncio.sleep(0)
                latest.reached(upto)
                if upto >= latest.start:
                    return
