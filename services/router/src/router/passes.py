"""Passes: answer what rooms ask of the past of our partitions, all who ask at the same time by one pass, while routing goes on.

A pass tells each ask what the partition gives for it (`Began`), then the updates that it wants, and, when it has come to where routing is,
without an await in between, `Activated`: so nothing is missing between the two, and nothing comes twice.

The items of a pass are no part of a tick: what is committed does not depend on them. A pass that ends early, as the partition is ours
no more, or as what it was to read was deleted meanwhile, leaves its asks unanswered; their gateway asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import NamedTuple

from common import metrics
from common.backoff import Backoff
from common.clock import Clock
from common.deliveries import Began, Item, Verdict
from common.identifiers import FencingEpoch, Slot
from common.kafka import KafkaError
from common.logs import describe, get_logger
from router.activation import Owned, Ownership
from router.history import NoLongerHeld, SourceLog
from router.jobs import Jobs
from router.outgoing import Outgoing
from router.recent import Entry
from router.replay import Ask, Bounds, Matching, Origins, Queue, judge, pause_after
from router.sources import Source
from router.tables import Tables

log = get_logger("passes")

_CHUNK = 64
"""Updates matched at a time: about a millisecond, in which routing waits."""
_GATHER_SECONDS = 0.1
"""Before Kafka is read: who asks meanwhile shares the read."""


class Target(NamedTuple):
    """A partition of ours, as long as it is. `holders`: the fencing epoch of each slot that is answered."""

    source: Source
    owned: Owned
    holders: dict[Slot, FencingEpoch]


class Passes:
    """`pending_bytes`: a pass waits while more than that is on its way to the broker."""

    def __init__(
        self,
        ownership: Ownership,
        history: SourceLog,
        tables: Tables,
        outgoing: Outgoing,
        *,
        clock: Clock,
        pending_bytes: int,
    ) -> None:
        self._ownership = ownership
        self._history = history
        self._tables = tables
        self._outgoing = outgoing
        self._clock = clock
        self._pending_bytes = pending_bytes
        self._queues: dict[tuple[Source, Origins], Queue] = {}
        self._jobs: Jobs[tuple[Source, Origins]] = Jobs()

    def ask(self, asks: Iterable[tuple[Source, Ask]]) -> None:
        """Answer them soon. One that repeats an ask that is not answered yet is passed over."""
        owned = self._ownership.owned()
        for source, ask in asks:
            # The ring may have moved on since the ask that this one repeats.
            if any(ask in queue for origin in Origins if (queue := self._queues.get((source, origin))) is not None):
                continue
            key = source, ask.origin(owned[source].recent.first)
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = Queue()
                self._jobs.start(key, partial(self._answer, key, queue, owned[source]))
            queue.add(ask)

    def drop(self) -> None:
        """Our partitions are ours no more: no pass sends anything from here on."""
        self._queues.clear()
        self._jobs.cancel_all()

    async def run(self) -> None:
        """Until cancelled."""
        await self._jobs.run()

    async def _answer(self, key: tuple[Source, Origins], queue: Queue, owned: Owned) -> None:
        source, origin = key
        while queue.waiting:
            if origin is Origins.KAFKA:
                await asyncio.sleep(_GATHER_SECONDS)
            asks = [ask for ask in queue.take() if self._ownership.is_held(ask.slot, ask.epoch)]
            began = self._clock.monotonic()
            metrics.router_replay_passes_total.labels(origin.value).inc()
            await self._pass(Target(source, owned, {ask.slot: ask.epoch for ask in asks}), asks)
            took = self._clock.monotonic() - began
            metrics.router_replay_seconds.observe(took)
            queue.answered()
            await asyncio.sleep(pause_after(took, asks=len(asks)))
        if self._queues.get(key) is queue:
            del self._queues[key]

    async def _pass(self, target: Target, asks: Sequence[Ask]) -> None:
        bounds = await self._bounds(target, asks)
        verdicts = self._begin(target, asks, bounds)
        matching = Matching(target.source[1])
        for ask in asks:
            if verdicts[ask.key] is Verdict.REPLAY:
                matching.add(ask, max(-1 if ask.had is None else ask.had, bounds.oldest - 1))
        snapshots = [ask for ask in asks if verdicts[ask.key] is Verdict.SNAPSHOT]
        if snapshots:
            upto = await self._snapshots(target, snapshots)
            for ask in snapshots:
                matching.add(ask, upto - 1)
        answered = [ask for ask in asks if verdicts[ask.key] in (Verdict.REPLAY, Verdict.SNAPSHOT)]
        await self._replay(target, matching, answered)

    async def _bounds(self, target: Target, asks: Iterable[Ask]) -> Bounds:
        backoff = Backoff()
        named = max((-1 if ask.had is None else ask.had for ask in asks), default=-1)
        while True:
            try:
                # What is routed is there, whatever the broker says.
                beyond = named if named >= target.owned.next else -1
                bounds = await self._history.bounds(target.source, named=beyond)
                return Bounds(bounds.oldest, max(bounds.end, target.owned.next))
            except KafkaError as error:
                log.warning("replay_waits", source=target.source, **describe(error))
                await asyncio.sleep(backoff.next())

    def _begin(self, target: Target, asks: Iterable[Ask], bounds: Bounds) -> dict[object, Verdict]:
        """Tell each what follows; those that can have nothing go on live at once."""
        stream = self._ownership.stream(target.source)
        verdicts: dict[object, Verdict] = {}
        for ask in asks:
            verdict = verdicts[ask.key] = judge(ask, bounds, stream=stream)
            metrics.router_replays_total.labels(verdict.name.lower()).inc()
            self._send(target, ask.slot, [Began(ask.room.id, ask.request, verdict, bounds.oldest)])
            if verdict in (Verdict.EXPIRED, Verdict.FUTURE):
                self._activate(target, ask)
        return verdicts

    async def _snapshots(self, target: Target, asks: Iterable[Ask]) -> int:
        """Send the last values. Returns the offset up to which (exclusive) they hold."""
        latest = target.owned.latest
        if latest is None:
            return target.owned.next
        await self._tables.ready(target.source)
        entries, upto = latest.entries(), latest.next
        metrics.router_snapshot_entities.observe(len(entries))
        matching = Matching(target.source[1])
        for ask in asks:
            matching.add(ask, -1)
        await self._tell_chunks(target, matching, entries)
        return upto

    async def _replay(self, target: Target, matching: Matching, asks: Sequence[Ask]) -> None:
        """Send what follows until it is what is routed, then activate."""
        recent, position = target.owned.recent, matching.first
        while position is not None:
            if position < recent.first:
                try:
                    position = await self._read(target, matching, position)
                except NoLongerHeld as error:
                    log.info("replay_given_up", source=target.source, **describe(error))
                    return
                continue
            entries = recent.after(position - 1, _CHUNK)
            self._tell(target, matching, entries)
            if len(entries) < _CHUNK:
                for ask in asks:
                    self._activate(target, ask)
                return
            position = entries[-1].offset + 1
            await self._breathe()

    async def _read(self, target: Target, matching: Matching, position: int) -> int:
        """Send what Kafka holds from `position` on, until the ring has what follows. Returns where that is.

        What was read is kept in the ring as far as there is room: who comes a little later need not read it
        once more. Raises `NoLongerHeld`.
        """
        recent, backoff = target.owned.recent, Backoff()
        read = recent.begun_at(position)
        while position < recent.first:
            metrics.router_replay_reads_total.inc()
            try:
                async with aclosing(self._history.read(target.source, position)) as batches:
                    async for changes, following in batches:
                        # What the ring has is taken from there: it ends where routing is.
                        upto = min(following, recent.first)
                        entries = [each for each in changes if isinstance(each, Entry) and each.offset < upto]
                        await self._tell_chunks(target, matching, entries)
                        read.add(entries)
                        position = upto
                        if position < following or position >= recent.first:
                            break
            except NoLongerHeld:
                raise
            except KafkaError as error:
                log.warning("replay_waits", source=target.source, **describe(error))
                await asyncio.sleep(backoff.next())
        recent.precede(read)
        return position

    async def _tell_chunks(self, target: Target, matching: Matching, entries: Iterable[Entry]) -> None:
        each = iter(entries)
        while chunk := list(islice(each, _CHUNK)):
            self._tell(target, matching, chunk)
            await self._breathe()

    def _tell(self, target: Target, matching: Matching, entries: Iterable[Entry]) -> None:
        for slot, items in matching.match(entries).items():
            metrics.router_replayed_total.inc(len(items))
            self._send(target, slot, items)

    def _activate(self, target: Target, ask: Ask) -> None:
        self._send(target, ask.slot, [self._ownership.activated(target.owned, ask)])

    def _send(self, target: Target, slot: Slot, items: Sequence[Item]) -> None:
        # A cancellation is not enough, should a library swallow it, as aiokafka does while a consumer stops.
        if self._ownership.owned().get(target.source) is not target.owned:
            raise asyncio.CancelledError
        self._ownership.tell(target.source, slot, target.holders[slot], items)

    async def _breathe(self) -> None:
        """Let routing go on, and the broker take what it was given."""
        await asyncio.sleep(0)
        await self._outgoing.room(self._pending_bytes)
