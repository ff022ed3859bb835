"""Partitions: takes part in the router group, and routes what its partitions bring.

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
from functools import partial

from common.backoff import Backoff
from common.clock import Clock
from common.endings import end_within
from common.kafka import AIOKafkaProducer, Kafka, KafkaError, TopicPartition, look_again
from common.lifecycle import Stopping, pause, wait_for
from common.logs import describe, get_logger
from common.watch import NotYet
from router.activation import Ownership
from router.checkpoints import Checkpoints
from router.commits import Tick
from router.committer import Committer
from router.dead_letters import send_dead_letter
from router.generations import Generations
from router.interest import InterestFold, Taken, Wanted
from router.interest_log import InterestLog
from router.membership import Membership
from router.outgoing import Outgoing
from router.past import Past
from router.recent import Recent
from router.replay import Ask
from router.routing import SourceRecord
from router.settings import RouterSettings
from router.sources import Source, Sources
from router.takeover import made_anew, starting_offsets

log = get_logger("partitions")

_POLL_MS = 200
_WATCH_SECONDS = 5.0
"""Between two looks at the ids of the topics: one small request to one broker."""
_SETTLE_SECONDS = 3.0
"""Longest wait for acknowledgements when partitions go; the group waits for us meanwhile."""


class Partitions:
    def __init__(
        self,
        settings: RouterSettings,
        kafka: Kafka,
        *,
        fold: InterestFold,
        interest: InterestLog,
        generations: Generations,
        checkpoints: Checkpoints,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._interest = interest
        self._generations = generations
        self._topics = settings.topics()
        self._sources = Sources(self._topics)
        self._committer = Committer(self._sources, clock)
        self._outgoing = Outgoing(
            self._topics.deliveries,
            epoch_of=fold.epoch,
            acknowledged=self._committer.acknowledged,
            failed=self._fail,
            clock=clock,
            pending_bytes=settings.router_pending_bytes,
        )
        self._ownership = Ownership(fold, self._outgoing, self._committer.commits, recent=self._new_recent)
        self._past = Past(
            settings, kafka, ownership=self._ownership, outgoing=self._outgoing, checkpoints=checkpoints, clock=clock
        )
        self._backoff = Backoff()
        self._joined = False
        self._made: Sequence[str] = ()
        self._rewound: set[str] = set()
        """Channels whose topic was seen to begin again below what was routed."""
        self._failure: KafkaError | None = None
        self._group: Membership
        self._producer: AIOKafkaProducer

    def made(self, channels: Sequence[str]) -> None:
        """The topics of these channels were made just now: their offsets begin anew, and so must their cursors."""
        self._made = tuple(channels)

    def answer(self, records: Sequence[Wanted | Taken]) -> None:
        """Answer newly read interest."""
        self._past.ask(self._ownership.answer(records))

    async def check(self) -> None:
        """Raises `NotYet` until partitions are taken over for the first time, later `KafkaError` when the broker is away."""
        if not self._joined:
            raise NotYet("joining the group")
        if self._failure is not None:
            raise self._failure
        await self._interest.check()

    async def start(self) -> None:
        """Join the group. Raises `KafkaError` when the broker is away."""
        self._producer = await self._kafka.start_producer()
        # The group may call before `join` returns.
        self._group = Membership(self._kafka, self._settings, held=self._hold, revoked=self._give_up)
        try:
            await self._group.join(self._sources.topics)
        except BaseException:
            await self._producer.stop()
            raise
        self._outgoing.restart(self._producer)

    async def run(self, stop: asyncio.Event) -> None:
        """Route until `stop` is set, then finish what was begun, commit and leave the group."""
        interval = self._settings.router_commit_interval.total_seconds()
        committing = self._committer.run(self._group.commit, interval)
        work = (self._outgoing.run(), committing, self._tell_progress(), self._past.run(), self._watch_topics())
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(each) for each in work]
            try:
                await self._route_until(stop)
                await self._leave()
            finally:
                for task in helpers:
                    task.cancel()

    # The group's calls ------------------------------------------------------------------------------------------------

    async def _give_up(self, revoked: Collection[TopicPartition]) -> None:
        """Route nothing more, let what was routed be acknowledged, and commit."""
        owned = self._past.drop()
        if revoked:
            await self._committer.settle(self._group.commit, _SETTLE_SECONDS)
            await self._past.keep(owned)
        self._committer.reset(map(self._sources.source, revoked))

    def _hold(self, assigned: Collection[TopicPartition]) -> None:
        self._ownership.expect(map(self._sources.source, assigned))

    # Work -------------------------------------------------------------------------------------------------------------

    async def _route_until(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what waits for others then, as a takeover does, is given up after a while."""
        working, stopping = asyncio.ensure_future(self._work(stop)), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((working,), timeout=_SETTLE_SECONDS)
            if working.done():
                working.result()
        finally:
            working.cancel()
            stopping.cancel()

    async def _work(self, stop: asyncio.Event) -> None:
        with contextlib.suppress(Stopping):
            while not stop.is_set():
                try:
                    await self._turn(stop)
                except KafkaError as error:
                    log.warning("kafka_failed", **describe(error))
                    await pause(self._backoff.next(), stop)

    async def _turn(self, stop: asyncio.Event) -> None:
        if self._failure is not None:
            await self._recover(self._failure, stop)
        if self._group.taking:
            await self._take_over()
        await self._outgoing.room()
        batch = await self._group.consumer.getmany(timeout_ms=_POLL_MS)
        if batch:
            await self._route(batch)

    async def _route(self, batch: Mapping[TopicPartition, Sequence[SourceRecord]]) -> None:
        records = {self._sources.source(each): found for each, found in batch.items()}
        if rewound := self._ownership.rewound(records):
            self._rewound.update(rewound)
            self._fail(KafkaError(f"offsets of {sorted(rewound)} have gone back"))
            return
        if (skipped := self._ownership.skipped(records)) and (lost := await self._lost(skipped)) is not None:
            self._fail(lost)
            return
        routed = self._ownership.route(records)
        if routed is None:
            return
        tick, letters = routed
        self._committer.began(tick)
        for letter in letters:
            named = replace(letter, source=self._sources.topic(letter.source))
            try:
                sending = await send_dead_letter(self._producer, self._topics.dead_letter, named, label=letter.source)
            except KafkaError as error:
                self._fail(error)
                return
            sending.add_done_callback(partial(self._sent, tick))

    async def _lost(self, skipped: Collection[Source]) -> KafkaError | None:
        """Why these must be taken again: some begin beyond what was to be routed next, or nobody can say whether they do."""
        owned = self._ownership.owned()
        try:
            begins = await self._group.consumer.beginning_offsets([self._sources.partition(each) for each in skipped])
        except KafkaError as error:
            return error
        if any(begins[self._sources.partition(each)] > owned[each].next for each in skipped if each in owned):
            return KafkaError("updates were deleted before they were routed")
        return None

    def _sent(self, tick: Tick, done: asyncio.Future[object]) -> None:
        """A dead letter's acknowledgement: a part of its tick, as deliveries are."""
        error = None if done.cancelled() else done.exception()
        if error is None:
            self._committer.acknowledged(tick)
            return
        self._fail(error if isinstance(error, KafkaError) else KafkaError(str(error)))

    async def _take_over(self) -> None:
        """Own what was assigned. Given up, to be tried again, when the assignment changes meanwhile."""
        assigned = self._group.assigned
        ids = await self._kafka.topic_ids(self._group.consumer, self._sources.topics)
        commits = await self._group.commits()
        anew = made_anew(commits, ids, self._group.ids)
        self._committer.reset(map(self._sources.source, anew))
        starts = await starting_offsets(
            self._group.consumer,
            {each: commit.offset if commit is not None else None for each, commit in commits.items()},
            end_of=self._past.end_of,
            anew=anew,
            known_group=self._joined,
        )
        self._rewound.update(self._sources.source(each)[0] for each in starts.rewound)
        generations = await self._generations.draw(map(self._sources.source, assigned))
        await self._interest.catch_up()
        channel_ids = {self._sources.channel(name): topic_id for name, topic_id in ids.items()}
        rewound = self._rewound - {self._sources.channel(name) for name in self._made_anew(ids)}
        await self._interest.ensure_streams(self._producer, channel_ids, made=self._made, rewound=rewound)
        self._made, self._rewound = (), set()
        if assigned is self._group.assigned:
            # Who was stalled on the way here, and has lost the partitions, has drawn a number above their owner's: nobody may hear it.
            await self._group.confirm(starts.offsets, ids)
        if assigned is not self._group.assigned or self._failure is not None:
            return
        asks: list[tuple[Source, Ask]] = []
        for partition, start in starts.offsets.items():
            source = self._sources.source(partition)
            self._group.consumer.seek(partition, start)
            taken = self._ownership.take(source, generations[source], start, lost=partition in starts.lost)
            asks += [(source, ask) for ask in taken]
        self._past.taken(asks)
        self._group.resume()
        self._joined = True
        self._backoff.reset()
        log.info("partitions_taken_over", partitions=len(assigned))

    def _fail(self, error: KafkaError) -> None:
        self._failure = self._failure or error

    async def _recover(self, error: KafkaError, stop: asyncio.Event) -> None:
        """A delivery may be lost: take our partitions again, under new generations, from what is committed."""
        log.warning("deliveries_failed", **describe(error))
        self._outgoing.restart(None)
        self._past.drop()
        self._committer.reset()
        self._group.hold()
        await pause(self._backoff.next(), stop)
        # A new producer: one that failed may refuse everything from then on, and holds records that are void.
        await end_within(_SETTLE_SECONDS, "producer", self._producer.stop())
        self._producer = await wait_for("kafka", self._kafka.start_producer, errors=(KafkaError,), stop=stop)
        self._outgoing.restart(self._producer)
        self._failure = None

    async def _leave(self) -> None:
        owned = self._past.drop()
        if self._failure is None:
            await self._committer.settle(self._group.commit, _SETTLE_SECONDS)
        await self._past.keep(owned)
        await asyncio.gather(
            end_within(_SETTLE_SECONDS, "history", self._past.stop()),
            self._group.leave(),
            end_within(_SETTLE_SECONDS, "producer", self._producer.stop()),
        )

    def _new_recent(self, first: int) -> Recent:
        settings = self._settings
        return Recent(first, limit=settings.router_recent_updates, limit_bytes=settings.router_recent_bytes)

    def _made_anew(self, ids: Mapping[str, bytes]) -> Collection[str]:
        """Topics that are others than those we have known under their names."""
        return {name for name, topic_id in ids.items() if self._group.ids.get(name, topic_id) != topic_id}

    async def _watch_topics(self) -> None:
        """A topic that is made anew while we run is taken over like a new one: a consumer may not notice for long.

        Nor may it notice that one is there again which was not when it looked.
        """
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if outdated := self._ownership.outdated():
                self._fail(KafkaError(f"other streams since: {', '.join(sorted(outdated))}"))
            try:
                ids = await self._kafka.topic_ids(self._group.consumer, self._sources.topics)
                if not all(map(self._group.consumer.partitions_for_topic, ids)):
                    await look_again(self._group.consumer)
            except KafkaError as error:
                log.debug("topics_not_seen", **describe(error))
                continue
            if (anew := self._made_anew(ids)) and not self._group.taking:
                self._fail(KafkaError(f"topics were made anew: {', '.join(sorted(anew))}"))

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(self._settings.router_progress_interval.total_seconds())
            self._ownership.tell_progress()
