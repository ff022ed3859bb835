"""Outgoing and ownership together: what slots are told, in which order, and what may be committed when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from common.channels import Channel
from common.clock import ManualClock
from common.deliveries import Activated, Item, OperatorMessage, Progress, Routed, TookOver
from common.events import Interest, SlotTaken
from common.identifiers import FencingEpoch, GatewayId, Generation, Slot
from common.kafka import KafkaError
from router.activation import Ownership
from router.commits import Commits, Tick
from router.interest import InterestFold
from router.outgoing import Outgoing
from router.sources import Source
from services.router.tests.in_memory import InMemoryPublisher
from services.router.tests.strategies import room
from services.router.tests.test_routing import Record
from services.router.tests.told import all_of
from tests.support.waiting import eventually

PRICES: Source = ("prices", 2)
ROOM = room(Channel.PRICES, {})


async def turns() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Router:
    """The parts of a router between its polls and its producer."""

    fold: InterestFold = field(default_factory=InterestFold)
    commits: Commits[Source] = field(default_factory=Commits)
    publisher: InMemoryPublisher = field(default_factory=InMemoryPublisher)
    failures: list[KafkaError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outgoing = Outgoing(
            "deliveries",
            epoch_of=self.fold.epoch,
            acknowledged=self.acknowledged,
            failed=self.failures.append,
            clock=ManualClock(),
            pending_bytes=2000,
        )
        self.outgoing.restart(self.publisher)
        self.ownership = Ownership(self.fold, self.outgoing, self.commits)
        self.fold.streams["prices"] = "abc"

    def acknowledged(self, tick: Tick) -> None:
        self.commits.acknowledged(tick)

    def gateway(self, slot: int, epoch: int = 10) -> None:
        self.fold.apply(SlotTaken(slot=Slot(slot), epoch=FencingEpoch(epoch), gateway=GatewayId("gw")))

    def want(self, slot: int, *, request: int = 1, epoch: int = 10) -> None:
        wanted = self.fold.apply(
            Interest(
                slot=Slot(slot),
                epoch=FencingEpoch(epoch),
                gateway=GatewayId("gw"),
                room=ROOM.id,
                channel=ROOM.channel,
                filter={},
                request=request,
            )
        )
        assert wanted is not None
        self.ownership.answer([wanted])

    def route(self, *offsets: int, value: bytes | None = b'{"type":"price_update"}', source: Source = PRICES):
        return self.ownership.route({source: [Record(offset, value) for offset in offsets]})

    async def sent(self, count: int) -> None:
        async def there() -> bool:
            return len(self.publisher.sent) >= count

        await eventually(there, f"{count} records are sent")

    async def items(self, slot: int = 1) -> list[Item]:
        """All that the slot was told, acknowledging until nothing waits."""
        told: list[Item] = []
        while waiting := [sent for sent in self.publisher.sent if not sent.future.done()]:
            for sent in waiting:
                if sent.partition == slot:
                    told += [item for segment in sent.delivery.segments for item in segment.items]
                sent.acknowledge()
            await turns()
        return told


@pytest.fixture
async def router() -> AsyncIterator[Router]:
    router = Router()
    running = asyncio.create_task(router.outgoing.run())
    yield router
    running.cancel()


async def test_a_taken_partition_is_told_to_every_live_slot_with_the_interest_read(router: Router):
    router.fold.read.update({0: 5, 1: 7})
    router.gateway(1)
    router.gateway(4)
    router.ownership.take(PRICES, Generation(99), 40)
    await router.sent(2)
    assert {sent.partition for sent in router.publisher.sent} == {1, 4}
    [segment] = router.publisher.sent[0].delivery.segments
    assert (segment.channel, segment.partition, segment.generation, segment.stream) == ("prices", 2, 99, "abc")
    assert segment.items == [TookOver(40, {0: 5, 1: 7})]


async def test_an_activation_stands_between_the_updates_before_and_after_it(router: Router):
    router.want(1, request=1)
    router.ownership.take(PRICES, Generation(99), 40)
    router.route(40, 41)
    router.want(1, request=2)
    router.route(42)
    await router.sent(1)
    told = await router.items()
    assert [type(item) for item in told] == [TookOver, Routed, Routed, Activated, Routed]
    assert told[3] == Activated(ROOM.id, 42, 2)
    assert [item.offset for item in told if isinstance(item, Routed)] == [40, 41, 42]


async def test_interest_is_answered_for_owned_partitions_of_the_channel_only(router: Router):
    router.ownership.take(PRICES, Generation(1), 0)
    router.ownership.take(("prices", 3), Generation(2), 7)
    router.ownership.take(("tvl", 0), Generation(3), 0)
    router.want(1)
    await router.sent(1)
    assert [item for item in await router.items() if isinstance(item, Activated)] == [
        Activated(ROOM.id, 0, 1),
        Activated(ROOM.id, 7, 1),
    ]


async def test_interest_that_comes_while_a_partition_is_being_taken_is_answered_when_it_is(router: Router):
    router.ownership.expect([PRICES, ("tvl", 0)])
    router.want(1, request=1)
    router.want(1, request=2)
    assert not router.publisher.sent
    router.ownership.take(PRICES, Generation(1), 30)
    router.ownership.take(("tvl", 0), Generation(2), 0)
    await router.sent(1)
    told = await router.items()
    assert [type(item) for item in told] == [TookOver, Activated, TookOver]
    assert told[1] == Activated(ROOM.id, 30, 2)


async def test_deliveries_carry_the_fencing_epoch_of_their_slot(router: Router):
    router.want(1, epoch=123)
    router.ownership.take(PRICES, Generation(1), 0)
    await router.sent(1)
    assert router.publisher.sent[0].delivery.slot_epoch == 123


async def test_a_tick_may_be_committed_when_every_slots_delivery_is_acknowledged(router: Router):
    router.ownership.take(PRICES, Generation(1), 0)
    router.want(1)
    router.want(2)
    await router.sent(2)
    await router.items()
    router.publisher.sent.clear()

    router.route(0, 1)
    await router.sent(2)
    router.publisher.sent[0].acknowledge()
    await turns()
    assert router.commits.take_ready() == {}
    router.publisher.sent[1].acknowledge()
    await turns()
    assert router.commits.take_ready() == {PRICES: 2}


async def test_nothing_is_committed_before_every_slot_has_heard_of_the_owner(router: Router):
    router.gateway(1)
    router.gateway(2)
    router.ownership.take(PRICES, Generation(1), 0)
    await router.sent(2)
    router.route(0)
    router.publisher.sent[0].acknowledge()
    await turns()
    assert router.commits.take_ready() == {}
    router.publisher.sent[1].acknowledge()
    await turns()
    assert router.commits.take_ready() == {PRICES: 1}


async def test_what_its_former_owner_left_untold_is_told_though_nothing_follows(router: Router):
    router.want(1)
    router.ownership.take(PRICES, Generation(1), 40)
    router.ownership.tell_progress()
    await router.sent(1)
    assert await router.items() == [TookOver(40, {}), Progress(39)]


async def test_what_matches_nothing_may_be_committed_at_once(router: Router):
    router.ownership.take(PRICES, Generation(1), 0)
    router.route(0, 1, 2)
    assert router.commits.take_ready() == {PRICES: 3}


async def test_dead_letters_are_parts_of_their_tick(router: Router):
    router.ownership.take(PRICES, Generation(1), 0)
    routed = router.route(0, value=b"nonsense")
    assert routed is not None
    tick, letters = routed
    assert [(letter.source, letter.partition, letter.offset, letter.value) for letter in letters] == [
        ("prices", 2, 0, b"nonsense")
    ]
    assert router.commits.take_ready() == {}
    router.commits.acknowledged(tick)
    assert router.commits.take_ready() == {PRICES: 1}


async def test_partitions_that_are_not_ours_are_passed_over(router: Router):
    router.ownership.take(PRICES, Generation(1), 0)
    router.ownership.drop([PRICES])
    assert router.route(0) is None
    router.want(1)
    assert await router.items() == []


async def test_records_before_the_next_offset_are_routed_once(router: Router):
    router.want(1)
    router.ownership.take(PRICES, Generation(1), 0)
    router.route(0, 1)
    router.route(1, 2)
    await router.sent(1)
    assert [item.offset for item in await router.items() if isinstance(item, Routed)] == [0, 1, 2]


async def test_a_slot_has_one_record_in_flight_and_what_waits_leaves_in_the_next(router: Router):
    router.want(1)
    router.ownership.take(PRICES, Generation(1), 0)
    await router.sent(1)
    for offset in range(5):
        router.route(offset)
    await turns()
    assert len(router.publisher.sent) == 1
    router.publisher.sent[0].acknowledge()
    await router.sent(2)
    [segment] = router.publisher.sent[1].delivery.segments
    assert [item.offset for item in all_of(Routed, segment.items)] == [0, 1, 2, 3, 4]


async def test_progress_is_told_once_for_a_partition_that_moved_to_slots_with_rooms_of_its_channel(router: Router):
    router.ownership.take(PRICES, Generation(1), 0)
    router.gateway(5)
    router.want(1)
    await router.sent(1)
    await router.items()
    router.publisher.sent.clear()
    router.ownership.tell_progress()
    router.route(0, 1, value=None)
    router.ownership.tell_progress()
    router.ownership.tell_progress()
    await router.sent(1)
    assert await router.items() == [Progress(1)]
    assert {sent.partition for sent in router.publisher.sent} == {1}


async def test_a_broadcast_reaches_slots_without_rooms(router: Router):
    router.gateway(5)
    router.ownership.take(("system", 0), Generation(1), 0)
    await router.sent(1)
    await router.items(5)
    router.route(0, value=b'{"type":"broadcast","data":1}', source=("system", 0))
    await router.sent(2)
    [message] = await router.items(5)
    assert isinstance(message, OperatorMessage)
    assert json.loads(message.body)["data"] == 1


async def test_a_failed_delivery_is_told_and_nothing_after_it_is_sent_or_committed(router: Router):
    router.want(1)
    router.ownership.take(PRICES, Generation(1), 0)
    await router.sent(1)
    router.route(0)
    router.publisher.sent[0].fail()
    await turns()
    assert len(router.failures) == 1
    router.route(1)
    await turns()
    assert len(router.publisher.sent) == 1
    assert router.commits.take_ready() == {}


async def test_a_producer_that_refuses_is_told_as_well(router: Router):
    router.publisher.refuses = True
    router.gateway(1)
    router.ownership.take(PRICES, Generation(1), 0)
    await turns()
    assert len(router.failures) == 1


async def test_after_a_restart_only_new_things_are_sent_and_old_acknowledgements_mean_nothing(router: Router):
    router.want(1)
    router.ownership.take(PRICES, Generation(1), 0)
    await router.sent(1)
    router.route(0)
    old = router.publisher.sent[0]
    router.commits.reset()
    second = InMemoryPublisher()
    router.outgoing.restart(second)
    router.ownership.take(PRICES, Generation(2), 0)
    old.acknowledge()
    await turns()
    assert [segment.generation for sent in second.sent for segment in sent.delivery.segments] == [2]
    assert router.commits.take_ready() == {}


async def test_room_is_waited_for_when_too_much_is_unacknowledged(router: Router):
    router.want(1)
    router.ownership.take(PRICES, Generation(1), 0)
    router.route(*range(40))
    await router.sent(1)
    waiting = asyncio.create_task(router.outgoing.room())
    await turns()
    assert not waiting.done()
    await router.items()
    async with asyncio.timeout(1):
        await waiting
