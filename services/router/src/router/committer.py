"""Committer: commits to the group what `router.commits` says may be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka.errors import CommitFailedError, IllegalStateError

from common import metrics
from common.clock import Clock
from common.kafka import KafkaError, TopicPartition
from common.logs import describe, get_logger
from router.commits import Commits, Tick
from router.sources import Source, Sources

log = get_logger("committer")

_COMMIT_SECONDS = 5.0

Commit = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]


class Committer:
    """`commits` is shared with what opens ticks."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self.commits: Commits[Source] = Commits()
        self._sources = sources
        self._clock = clock
        self._began: dict[Tick, float] = {}
        self._moved = asyncio.Event()
        self._committing = asyncio.Lock()
        self._failing = False

    def began(self, tick: Tick) -> None:
        """The tick's records have come just now; told for the metric only."""
        self._began[tick] = self._clock.monotonic()

    def acknowledged(self, tick: Tick) -> None:
        """One part of the tick is."""
        if self.commits.acknowledged(tick):
            began = self._began.pop(tick, None)
            if began is not None:
                metrics.router_route_seconds.observe(self._clock.monotonic() - began)
        self._moved.set()

    def reset(self, gone: Iterable[Source] = ()) -> None:
        """Give up all that is open, and of partitions that are `gone` also what is ready. Ends a `settle`."""
        self.commits.reset()
        self.commits.drop(list(gone))
        self._began.clear()
        self._moved.set()

    async def run(self, commit: Commit, interval: float) -> None:
        """Commit what is ready each `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            await self.commit(commit)

    async def settle(self, commit: Commit, limit: float) -> None:
        """Wait up to `limit` seconds until nothing is open, then commit what is ready."""
        try:
            async with asyncio.timeout(limit):
                while self.commits.pending:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            log.info("deliveries_not_acknowledged", ticks=self.commits.pending)
        await self.commit(commit)

    async def commit(self, commit: Commit) -> None:
        """Commit what is ready. What fails by a broker that is away is ready again."""
        async with self._committing:
            ready = self.commits.take_ready()
            if not ready:
                return
            try:
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await commit({self._sources.partition(source): offset for source, offset in ready.items()})
            except (CommitFailedError, IllegalStateError) as error:
                # The group has gone on without us: whoever owns them now begins where was committed last.
                log.info("commit_refused", error=type(error).__name__, partitions=len(ready))
            except (KafkaError, TimeoutError) as error:
                self.commits.give_back(ready)
                if not self._failing:
                    log.warning("commit_failed", **describe(error))
                self._failing = True
            else:
                self._failing = False
