"""Membership in the router group: what it has assigned, and whether that is taken over yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping

from aiokafka import ConsumerRebalanceListener

from common.endings import end_within
from common.kafka import AIOKafkaConsumer, Commit, Kafka, TopicPartition
from router.settings import RouterSettings

_LEAVE_SECONDS = 4.0

Assigned = Callable[[Collection[TopicPartition]], None]
Revoked = Callable[[Collection[TopicPartition]], Awaitable[None]]


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """`held` is called when partitions are ours, but must be taken over first; `revoked` before others may have them.

    Made with the event loop running.
    """

    def __init__(self, kafka: Kafka, settings: RouterSettings, *, held: Assigned, revoked: Revoked) -> None:
        self._held = held
        self._revoked = revoked
        self._kafka = kafka
        self.assigned: tuple[TopicPartition, ...] = ()
        """In order, so that they are taken over in an order that can be repeated."""
        self.taking = False
        """Whether the assigned partitions are held back until `resume`."""
        self.ids: Mapping[str, bytes] = {}
        """Of the topics, as they were when partitions were taken over last."""
        self._name = f"{settings.topic_prefix}router"
        self.consumer: AIOKafkaConsumer = kafka.consumer(
            group_id=self._name,
            auto_offset_reset="earliest",
            session_timeout_ms=round(settings.router_session_timeout.total_seconds() * 1000),
            heartbeat_interval_ms=round(settings.router_heartbeat_interval.total_seconds() * 1000),
            max_poll_records=settings.router_max_poll_records,
            metadata_max_age_ms=30_000,
            fetch_sessions=True,
        )

    async def join(self, topics: Collection[str]) -> None:
        """Raises `KafkaError` when the broker is away; then this one is of no more use."""
        try:
            self.consumer.subscribe(topics=list(topics), listener=self)
            await self.consumer.start()
        except BaseException:
            await self.consumer.stop()
            raise

    async def leave(self) -> None:
        """Others may have the partitions at once. What a broker in the middle of a rebalance delays is given up."""
        await end_within(_LEAVE_SECONDS, "leaving the group", self.consumer.stop())

    async def commits(self) -> Mapping[TopicPartition, Commit | None]:
        """What is committed of the assigned partitions. Raises `KafkaError`."""
        return await self._kafka.committed(self._name, self.assigned) if self.assigned else {}

    async def confirm(self, starts: Mapping[TopicPartition, int], ids: Mapping[str, bytes]) -> None:
        """Commit where we are to begin: the group takes that of its members only. Raises `KafkaError` when we are none any more.

        `ids` are those of the topics from now on.
        """
        await self._commit(starts, ids)
        self.ids = {**self.ids, **ids}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Each with the id of its topic, so that it is never taken for a commit of one made anew. Raises `KafkaError`."""
        await self._commit(offsets, self.ids)

    async def _commit(self, offsets: Mapping[TopicPartition, int], ids: Mapping[str, bytes]) -> None:
        if offsets:
            await self.consumer.commit({tp: (at, ids.get(tp.topic, b"").hex()) for tp, at in offsets.items()})

    def hold(self) -> None:
        """Bring no records of the assigned partitions until they are taken over, once more."""
        if self.assigned:
            self.consumer.pause(*self.assigned)
        self.taking = True
        self._held(self.assigned)

    def resume(self) -> None:
        """They are taken over: bring their records."""
        self.consumer.resume(*self.assigned)
        self.taking = False

    # The group's calls ------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.assigned, self.taking = (), False
        await self._revoked(revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Not taken over here: that waits for others, and the group's heartbeats would wait as well."""
        self.assigned = tuple(sorted(assigned))
        self.hold()
