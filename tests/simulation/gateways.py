"""A gateway process: the product's own parts as `gateway.app` wires them, in a slot that the world has leased to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any, cast

from common.clock import ManualClock
from common.events import Decision
from common.identifiers import FencingEpoch, GatewayId, KeyHash, Slot
from common.lifecycle import wait_for
from common.limits import Limits
from common.redis import RedisError
from common.topics import Topics
from gateway.activation import Activation
from gateway.authentication import Answer, Authentication
from gateway.catching import CatchingUp
from gateway.connections import Admission, Connections
from gateway.cursors import CursorCheck
from gateway.deliveries import DeliveriesReader
from gateway.hub import Hub
from gateway.interest import InterestRecords
from gateway.outages import Outages
from gateway.positions import Positions
from gateway.protocol.replies import Timing
from gateway.protocol.session import Profile
from gateway.recent import Recent
from gateway.records import Records
from gateway.reports import Reports
from gateway.slot import Lease, Slots
from tests.simulation.broker import Broker, Consumer, Kafka, Producer
from tests.simulation.loops import Loop

PATH = "/v2/realtime"
HEARTBEAT_SECONDS = 1.0
OUTBOX_BYTES = 6_000
RECENT_BYTES = 300_000
_LIMITS = Limits(messages_per_minute=None, subscription_changes_per_minute=None, subscriptions=None)


class Doorman(Authentication):
    """A key is its user's name, and lets in."""

    def validate(self, key_hash: KeyHash, answer: Answer) -> None:
        user = key_hash if key_hash != "nobody" else None
        answer(Decision(allowed=True, user=user, permissions=frozenset({"channel:*"})))


class Gateway:
    """`serving`: whether it is in its slot; it is not any more once it saw that somebody else is. `slots` renews its lease."""

    def __init__(self, broker: Broker, topics: Topics, slots: Slots, lease: Lease, name: GatewayId) -> None:
        clock: ManualClock = broker.clock
        self.lease, self.clock = lease, clock
        self.loop = Loop(clock)
        self.kafka = Kafka(broker)
        self.stalled = False
        self.serving = False
        self.ended = False
        self.name = name
        self._counts = {topic.removeprefix("updates."): count for topic, count in broker.partitions.items()}
        self.recovered: set[tuple[str, int]] = set()
        """Partitions of which a room was asked for again: then a connection may have once more what another room of it has had."""
        self.asked: list[Any] = []
        """Subscriptions of clients (`tests.simulation.clients`), in the order in which they came."""
        self._records = Records()
        self.positions = positions = Positions()
        self._interest = InterestRecords(self._records, topics, name)
        partitions = self._counts.__getitem__
        self.activation = Activation(
            self._interest,
            partitions=partitions,
            recovering=self._recovering,
            position=positions.position,
            stream=positions.epoch,
            retry=1.0,
            timeout=5.0,
        )
        self._interest.written = self.activation.written
        recent = Recent(RECENT_BYTES)
        self.catching_up = CatchingUp(
            self._interest, self.activation, positions, recent, partitions=partitions, retry=1.0, timeout=30.0
        )
        self.hub = Hub(self.activation, self.catching_up, positions, recent, clock=clock.monotonic)
        self.connections = self._connections(topics)
        self._slots = slots
        self._deliveries = DeliveriesReader(cast(Any, self.kafka), topics, self.hub, clock)
        self.loop.own(self._run())

    def _connections(self, topics: Topics) -> Connections:
        positions = self.positions
        profile = Profile(
            Timing(heartbeat_interval=HEARTBEAT_SECONDS),
            _LIMITS,
            KeyHash,
            positions.cursor,
            positions.joining_cursor,
            CursorCheck(positions, self._counts.__getitem__),
        )
        return Connections(
            self.hub,
            Doorman(self._records, topics, self.clock, timeout=5.0),
            Reports(self.name, self._records, topics, self.clock),
            Outages(settle=5.0),
            profile=profile,
            admission=Admission(PATH, (ip_network("127.0.0.0/8"),), 10_000, 10_000, OUTBOX_BYTES, 1_000_000),
            clock=self.clock,
        )

    async def _run(self) -> None:
        producer = await self.kafka.start_producer()
        sending = self.loop.create_task(self._records.run(producer))
        consumer = await self._deliveries.open(self.lease)
        cast(Any, consumer).slow = True
        lease = await wait_for(
            "the slot", lambda: self._slots.confirm(self.lease), errors=(RedisError,), stop=asyncio.Event()
        )
        if lease is None:
            sending.cancel()
            self.ended = True
            return
        self.lease = lease
        # What is on record of it nobody needs here, so it is not told again when it was lost.
        holding = self.loop.create_task(self._slots.hold(lease, emptied=lambda: None))
        self._interest.leased(*self._slot)
        self.connections.leased(*self._slot)
        self.serving = True
        reading = self.loop.create_task(self._deliveries.run(consumer, self.lease))
        try:
            done, _ = await asyncio.wait((holding, reading), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (sending, holding, reading):
                task.cancel()
        self._lose()

    def _lose(self) -> None:
        """As `gateway.tenancy` does."""
        self.serving, self.ended = False, True
        self._interest.lost()
        self.connections.lost()
        self.hub.clear()

    @property
    def _slot(self) -> tuple[Slot, FencingEpoch]:
        return self.lease.slot, self.lease.epoch

    def tick(self) -> None:
        """As `gateway.ticker` does."""
        now = self.clock.monotonic()
        self.connections.tick()
        self.activation.tick(now)
        self.catching_up.tick(now)

    def _recovering(self, channel: str, partition: int, change: int) -> None:
        self.recovered.add((channel, partition))
        self.positions.recover(channel, partition, change)

    def needed(self, channel: str, partition: int) -> int:
        """The offset from which on its rooms may have to be told again what the partition holds."""
        rooms = [each for each in self.activation._rooms.values() if each.room.channel == channel]
        recovering = [each.recovering[partition] for each in rooms if partition in each.recovering]
        return min((self.positions.position(channel, partition), *recovering)) + 1 if rooms else 2**62

    @property
    def consumer(self) -> Consumer | None:
        return self.kafka.consumers[0] if self.kafka.consumers else None

    @property
    def producers(self) -> Sequence[Producer]:
        return self.kafka.producers

    def kill(self) -> None:
        self.kafka.cut = self.ended = True
        self.serving = False
        self.loop.kill()
