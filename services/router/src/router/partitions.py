"""Partitions: takes part in the router group, routes what its partitions bring, and commits what the broker has acknowledged.

A source partition goes through these states:

    assigned --(generation drawn, interest read to its end)--> owned --(revoked)--> gone
        ^                                                        |
        +------------(a delivery could not be produced)----------+
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from aiokafka import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError

from common import metrics
from common.backoff import Backoff
from common.clock import Clock
from common.kafka import AIOKafkaConsumer, AIOKafkaProducer, Kafka, KafkaError, TopicPartition
from common.lifecycle import Stopping, pause, wait_for
from common.logs import describe, get_logger
from router.activation import Ownership
from router.commits import Commits, Tick
from router.dead_letters import send_dead_letter
from router.dependencies import NotYet
from router.generations import Generations
from router.interest import InterestFold, Wanted
from router.interest_log import InterestLog
from router.outgoing import Outgoing
from router.routing import DeadLetter, SourceRecord
from router.settings import RouterSettings
from router.sources import Source, Sources
from router.takeover import starting_offsets

log = get_logger("partitions")

_POLL_MS = 200
_SETTLE_SECONDS = 3.0
"""Longest wait for acknowledgements when partitions go; the group waits for us meanwhile."""


class Partitions(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(
        self,
        settings: RouterSettings,
        kafka: Kafka,
        *,
        fold: InterestFold,
        interest: InterestLog,
        generations: Generations,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._interest = interest
        self._generations = generations
        self._clock = clock
        self._topics = settings.topics()
        self._sources = Sources(self._topics)
        self._commits: Commits[Source] = Commits()
        self._outgoing = Outgoing(
            self._topics.deliveries,
            epoch_of=fold.epoch,
            acknowledged=self._acknowledged,
            failed=self._fail,
            clock=clock,
            pending_bytes=settings.router_pending_bytes,
        )
        self._ownership = Ownership(fold, self._outgoing, self._commits)
        self._backoff = Backoff()
        self._began: dict[Tick, float] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._taking = self._joined = False
        self._renewed: Sequence[str] = ()
        self._failure: KafkaError | None = None
        self._settled = asyncio.Event()
        self._committing = asyncio.Lock()
        self._consumer: AIOKafkaConsumer
        self._producer: AIOKafkaProducer

    def renew_streams(self, channels: Sequence[str]) -> None:
        """The topics of these channels were made just now: their offsets begin anew, and so must their cursors."""
        self._renewed = tuple(channels)

    async def check(self) -> None:
        """Raises `NotYet` until partitions are taken over for the first time, later `KafkaError` when the broker is away."""
        if not self._joined:
            raise NotYet("joining the group")
        if self._failure is not None:
            raise self._failure
        await self._interest.check()

    def activate(self, wanted: Sequence[Wanted]) -> None:
        """Answer newly read interest."""
        self._ownership.activate(wanted)

    async def start(self) -> None:
        """Join the group. Raises `KafkaError` when the broker is away."""
        settings = self._settings
        consumer = self._kafka.consumer(
            group_id=f"{settings.topic_prefix}router",
            auto_offset_reset="earliest",
            session_timeout_ms=round(settings.router_session_timeout.total_seconds() * 1000),
            heartbeat_interval_ms=round(settings.router_heartbeat_interval.total_seconds() * 1000),
            max_poll_records=settings.router_max_poll_records,
            metadata_max_age_ms=30_000,
        )
        producer = await self._kafka.start_producer()
        # The group may call before `start` returns.
        self._consumer, self._producer = consumer, producer
        try:
            consumer.subscribe(topics=list(self._sources.topics), listener=self)
            await consumer.start()
        except BaseException:
            await asyncio.gather(consumer.stop(), producer.stop(), return_exceptions=True)
            raise
        self._outgoing.restart(producer)

    async def run(self, stop: asyncio.Event) -> None:
        """Route until `stop` is set, then finish what was begun, commit and leave the group."""
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(each)
                for each in (self._outgoing.run(), self._commit_regularly(), self._tell_progress())
            ]
            try:
                with contextlib.suppress(Stopping):
                    await self._work(stop)
                await self._leave()
            finally:
                for task in helpers:
                    task.cancel()

    # The group's calls --------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Route nothing more of these, let their deliveries be acknowledged, and commit."""
        self._assigned, self._taking = frozenset(), False
        self._ownership.drop(list(self._ownership.sources))
        if revoked:
            await self._settle()
        self._commits.reset()
        self._commits.drop([self._sources.source(each) for each in revoked])

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Held back until taken over, which waits for others: not here, where the group's heartbeats would wait as well."""
        self._consumer.pause(*assigned)
        self._assigned, self._taking = frozenset(assigned), True

    # Work ---------------------------------------------------------------------------------------------------------------

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if self._failure is not None:
                    await self._recover(self._failure, stop)
                if self._taking:
                    await self._take_over()
                await self._outgoing.room()
                batch = await self._consumer.getmany(timeout_ms=_POLL_MS)
                if batch:
                    await self._route(batch)
            except KafkaError as error:
                log.warning("kafka_failed", **describe(error))
                await pause(self._backoff.next(), stop)

    async def _route(self, batch: Mapping[TopicPartition, Sequence[SourceRecord]]) -> None:
        routed = self._ownership.route(
            {self._sources.source(partition): records for partition, records in batch.items()}
        )
        if routed is None:
            return
        tick, letters = routed
        self._began[tick] = self._clock.monotonic()
        for letter in letters:
            await self._send_dead_letter(tick, letter)

    async def _send_dead_letter(self, tick: Tick, letter: DeadLetter) -> None:
        named = replace(letter, source=self._sources.topic(letter.source))
        log.warning(
            "dead_letter", topic=named.source, partition=named.partition, offset=named.offset, reason=named.reason
        )
        future = await send_dead_letter(self._producer, self._topics.dead_letter, named, label=letter.source)

        def sent(done: asyncio.Future[object]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is None:
                self._acknowledged(tick)
                return
            self._fail(error if isinstance(error, KafkaError) else KafkaError(str(error)))

        future.add_done_callback(sent)

    async def _take_over(self) -> None:
        """Own what was assigned. Given up, to be tried again, when the assignment changes meanwhile."""
        assigned = self._assigned
        starts = await starting_offsets(self._consumer, assigned)
        generations = await self._generations.draw(map(self._sources.source, assigned))
        await self._interest.catch_up()
        await self._interest.ensure_streams(self._producer, self._renewed)
        self._renewed = ()
        if assigned is not self._assigned or self._failure is not None:
            return
        for partition, start in starts.items():
            source = self._sources.source(partition)
            self._consumer.seek(partition, start)
            self._ownership.take(source, generations[source], start)
        self._consumer.resume(*assigned)
        self._taking = False
        self._backoff.reset()
        self._joined = True
        log.info("partitions_taken_over", partitions=len(assigned))

    # Failure ------------------------------------------------------------------------------------------------------------

    def _fail(self, error: KafkaError) -> None:
        self._failure = self._failure or error
        self._settled.set()

    async def _recover(self, error: KafkaError, stop: asyncio.Event) -> None:
        """A delivery may be lost: take our partitions again, under new generations, from what is committed."""
        log.warning("deliveries_failed", **describe(error))
        self._outgoing.restart(None)
        self._ownership.drop(list(self._ownership.sources))
        self._commits.reset()
        if self._assigned:
            self._consumer.pause(*self._assigned)
        self._taking = bool(self._assigned)
        await pause(self._backoff.next(), stop)
        # A new producer: one that failed may refuse everything from then on, and holds records that are void.
        await _stop_within(self._producer, _SETTLE_SECONDS)
        self._producer = await wait_for("kafka", self._kafka.start_producer, errors=(KafkaError,), stop=stop)
        self._outgoing.restart(self._producer)
        self._failure = None

    # Commits ------------------------------------------------------------------------------------------------------------

    def _acknowledged(self, tick: Tick) -> None:
        if self._commits.acknowledged(tick):
            began = self._began.pop(tick, None)
            if began is not None:
                metrics.router_route_seconds.observe(self._clock.monotonic() - began)
        if not self._commits.pending:
            self._settled.set()

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.router_commit_interval.total_seconds())
            await self._commit()

    async def _commit(self) -> None:
        async with self._committing:
            ready = self._commits.take_ready()
            if not ready:
                return
            offsets = {self._sources.partition(source): offset for source, offset in ready.items()}
            try:
                await self._consumer.commit(offsets)
            except (CommitFailedError, IllegalStateError) as error:
                # The group has gone on without us: whoever owns them now begins where we committed last.
                log.info("commit_refused", **describe(error))
            except KafkaError as error:
                self._commits.give_back(ready)
                log.warning("commit_failed", **describe(error))

    async def _settle(self) -> None:
        """Wait for acknowledgements, for a limited time, and commit what has them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                while self._commits.pending and self._failure is None:
                    self._settled.clear()
                    await self._settled.wait()
        await self._commit()

    async def _leave(self) -> None:
        self._ownership.drop(list(self._ownership.sources))
        await self._settle()
        await asyncio.gather(self._consumer.stop(), _stop_within(self._producer, _SETTLE_SECONDS))

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(self._settings.router_progress_interval.total_seconds())
            self._ownership.tell_progress()


async def _stop_within(producer: AIOKafkaProducer, limit: float) -> None:
    """Stop it; what it still holds is given up after `limit` seconds."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(limit):
            await producer.stop()
