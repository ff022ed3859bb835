"""Passes against a plain look at the log: whatever the ring holds, and whatever is routed meanwhile, an ask gets all, in order, once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from common import metrics
from common.channels import Channel
from common.clock import ManualClock
from common.deliveries import Activated, Began, Item, Replayed, Verdict
from common.events import SlotTaken
from common.filters import parse_filter
from common.identifiers import FencingEpoch, GatewayId, Generation, Slot
from common.kafka import KafkaError
from common.rooms import room_of
from common.updates import decode_update
from router.history import NoLongerHeld
from router.interest import InterestFold
from router.latest import Change
from router.passes import Passes
from router.recent import Entry
from router.replay import Bounds
from router.sources import Source
from router.tables import Tables
from services.router.tests.in_memory import InMemoryPublisher, owner
from services.router.tests.strategies import interest
from tests.support.waiting import eventually

EVENTS: Source = ("liquidations", 0)
SLOT = Slot(3)


@dataclass
class Record:
    offset: int
    value: bytes
    key: bytes | None = None
    timestamp: int = 1


@dataclass
class InMemoryLog:
    """`router.history.SourceLog`: one partition, read in batches."""

    records: list[Record] = field(default_factory=list)
    oldest: int = 0
    batch: int = 7
    failures: int = 0
    deleted_while_read: int = 0
    """What is before this is gone as soon as somebody reads."""
    slow_end: asyncio.Event | None = None
    """What a reader waits for at its end, and meanwhile swallows a cancellation, as aiokafka does."""
    ending: int = 0

    def write(self, count: int) -> list[Record]:
        first = len(self.records)
        new = [
            Record(n, json.dumps({"type": "liquidation", "value": n % 10}).encode())
            for n in range(first, first + count)
        ]
        self.records += new
        return new

    async def bounds(self, source: Source, *, named: int = -1) -> Bounds:
        if self.failures:
            self.failures -= 1
            raise KafkaError("away")
        return Bounds(self.oldest, len(self.records))

    async def read(self, source: Source, offset: int) -> AsyncGenerator[tuple[Sequence[Change], int]]:
        try:
            while True:
                await asyncio.sleep(0)
                self.oldest = max(self.oldest, self.deleted_while_read)
                if offset < self.oldest:
                    raise NoLongerHeld(f"begins at {self.oldest}")
                part = self.records[offset : offset + self.batch]
                if part:
                    offset = part[-1].offset + 1
                    yield [_entry(each) for each in part], offset
        finally:
            if self.slow_end is not None:
                self.ending += 1
                with contextlib.suppress(asyncio.CancelledError):
                    await self.slow_end.wait()


def _entry(record: Record) -> Entry:
    return Entry(record.offset, record.timestamp, None, decode_update(record.value, channel=Channel.LIQUIDATIONS))


class Router:
    """One owned partition of events, and one slot."""

    def __init__(self, *, recent: int) -> None:
        self.fold, self.log, self.publisher = InterestFold(), InMemoryLog(), InMemoryPublisher()
        self.outgoing, self.ownership = owner(self.fold, recent=recent)
        self.outgoing.restart(self.publisher)
        # No table is asked for: events have none.
        tables = Tables(self.ownership, self.log, None)  # type: ignore[arg-type]
        self.passes = Passes(self.ownership, self.log, tables, self.outgoing, clock=ManualClock(), pending_bytes=10**9)
        self.holder(1)

    def holder(self, epoch: int) -> None:
        self.fold.apply(SlotTaken(slot=SLOT, epoch=FencingEpoch(epoch), gateway=GatewayId("gw")))

    def own(self, start: int = 0) -> None:
        self.ownership.take(EVENTS, Generation(1), start)

    def route(self, count: int) -> None:
        self.ownership.route({EVENTS: self.log.write(count)})

    def ask(self, request: int, since: int | None, *, least: int = 0, epoch: int = 1, snapshot: bool = False) -> None:
        room = room_of(Channel.LIQUIDATIONS, parse_filter({"minValue": least}))
        wanted = self.fold.apply(
            interest(
                room,
                slot=SLOT,
                epoch=epoch,
                request=request,
                since={0: since} if since is not None else None,
                snapshot=snapshot,
            )
        )
        assert wanted is not None
        self.passes.ask(self.ownership.answer([wanted]))

    def told(self) -> list[Item]:
        return [item for sent in self.publisher.sent for segment in sent.delivery.segments for item in segment.items]

    async def answer(self, request: int) -> tuple[list[int], int]:
        """Offsets replayed, and that of the activation. Acknowledges what is sent meanwhile."""

        async def activated() -> bool:
            for sent in self.publisher.sent:
                if not sent.future.done():
                    sent.acknowledge()
            return any(isinstance(item, Activated) and item.request == request for item in self.told())

        await eventually(activated, f"request {request} is answered")
        offsets = [
            item.offset
            for item in self.told()
            if isinstance(item, Replayed) and request in [number for _, number in item.answers]
        ]
        return offsets, next(i.offset for i in self.told() if isinstance(i, Activated) and i.request == request)


@pytest.fixture
async def router(request: pytest.FixtureRequest) -> AsyncIterator[Router]:
    router = Router(recent=getattr(request, "param", 20))
    running = [asyncio.create_task(router.outgoing.run()), asyncio.create_task(router.passes.run())]
    yield router
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def plain(router: Router, since: int, upto: int, least: int) -> list[int]:
    return [n for n in range(since + 1, upto) if n % 10 >= least]


@pytest.mark.parametrize("router", [0, 1, 5, 64, 65, 300, 5000], indirect=True)
@pytest.mark.parametrize("since", [-1, 0, 250, 699, 700])
async def test_an_ask_gets_all_after_its_cursor_whatever_memory_holds(router: Router, since: int):
    router.own()
    router.route(701)
    router.ask(1, since, least=3)
    router.ask(2, since + 0, least=8)
    for request, least in ((1, 3), (2, 8)):
        offsets, activated = await router.answer(request)
        assert offsets == plain(router, since, activated, least)
        assert activated == 701


@pytest.mark.parametrize("router", [0, 30, 1000], indirect=True)
async def test_what_is_routed_during_a_pass_is_in_the_replay_or_live_and_never_in_both(router: Router):
    router.own()
    router.route(400)
    for request in range(1, 9):
        router.ask(request, request * 40)
        router.route(60)
        await asyncio.sleep(0)
    for request in range(1, 9):
        router.route(25)
        offsets, activated = await router.answer(request)
        assert offsets == plain(router, request * 40, activated, 0)


async def test_those_who_ask_at_once_share_one_read(router: Router):
    router.own()
    router.route(500)
    before = metrics.router_replay_reads_total._value.get()
    for request in range(1, 41):
        router.ask(request, request)
    for request in range(1, 41):
        offsets, activated = await router.answer(request)
        assert offsets == plain(router, request, activated, 0)
    assert metrics.router_replay_reads_total._value.get() - before == 1


@pytest.mark.parametrize("router", [1000], indirect=True)
async def test_those_who_ask_a_little_later_find_in_memory_what_was_read_for_others(router: Router):
    router.log.write(400)
    router.own(start=400)
    router.route(50)
    before = metrics.router_replay_reads_total._value.get()
    for request, since in ((1, 100), (2, 150), (3, 100)):
        router.ask(request, since)
        offsets, activated = await router.answer(request)
        assert offsets == plain(router, since, activated, 0)
    assert metrics.router_replay_reads_total._value.get() - before == 1


async def test_an_update_is_sent_once_for_all_who_want_it(router: Router):
    router.own()
    router.route(5)
    router.ask(1, -1)
    router.ask(2, 2)
    await router.answer(2)
    replayed = [item for item in router.told() if isinstance(item, Replayed)]
    assert [(item.offset, [number for _, number in item.answers]) for item in replayed] == [
        (0, [1]),
        (1, [1]),
        (2, [1]),
        (3, [1, 2]),
        (4, [1, 2]),
    ]


async def test_a_partition_that_goes_is_told_of_no_more(router: Router):
    router.own()
    router.route(700)
    router.ask(1, -1)
    router.ownership.drop([EVENTS])
    router.passes.drop()
    await asyncio.sleep(0.15)
    assert not any(isinstance(item, Began | Replayed) for item in router.told())


async def test_a_pass_whose_cancellation_was_swallowed_says_no_more_and_the_next_one_answers(router: Router):
    router.log.slow_end = asyncio.Event()
    router.own()
    router.route(700)
    router.ask(1, -1)
    await eventually(_ends_reading(router), "the reader ends")
    before = len(router.told())
    router.ownership.drop([EVENTS])
    router.passes.drop()
    router.log.slow_end.set()
    router.own(700)
    router.ask(2, 650)
    offsets, _ = await router.answer(2)
    assert offsets == plain(router, 650, 700, 0)
    assert not any(isinstance(item, Activated) and item.request == 1 for item in router.told()[before:])


def _ends_reading(router: Router) -> Callable[[], Awaitable[bool]]:
    async def ends() -> bool:
        return router.log.ending > 0

    return ends


async def test_a_gateway_that_takes_the_slot_meanwhile_gets_nothing_that_another_asked_for(router: Router):
    router.own()
    router.route(700)
    router.ask(1, -1)
    router.holder(2)
    router.ask(1, 600, epoch=2)
    offsets, _ = await router.answer(1)
    assert offsets == plain(router, 600, 700, 0)


@pytest.mark.parametrize("router", [5], indirect=True)
async def test_a_pass_that_finds_its_past_deleted_activates_nothing_and_the_next_one_says_so(router: Router):
    router.own()
    router.route(50)
    router.log.deleted_while_read = 30
    router.ask(1, 9)
    await eventually(_has_begun(router, Verdict.REPLAY), "the replay begins")
    router.ask(2, 40)
    await router.answer(2)
    assert not any(isinstance(item, Activated) and item.request == 1 for item in router.told())
    router.ask(1, 9)
    await eventually(_has_begun(router, Verdict.EXPIRED), "the cursor has expired")


def _has_begun(router: Router, verdict: Verdict) -> Callable[[], Awaitable[bool]]:
    async def begun() -> bool:
        for sent in router.publisher.sent:
            if not sent.future.done():
                sent.acknowledge()
        return any(isinstance(item, Began) and (item.request, item.verdict) == (1, verdict) for item in router.told())

    return begun


async def test_what_is_not_held_any_more_has_expired_and_the_room_goes_on_live(router: Router):
    router.own()
    router.route(50)
    router.log.oldest = 40
    router.ask(1, 10)
    assert await router.answer(1) == ([], 50)
    assert [item.verdict for item in router.told() if isinstance(item, Began)] == [Verdict.EXPIRED]


async def test_a_cursor_between_what_is_routed_and_the_end_is_good(router: Router):
    """The owner before had come further than it committed: what it repeats is known to the connection."""
    router.log.write(50)
    router.own(20)
    router.ask(1, 44)
    assert await router.answer(1) == ([], 20)
    assert [item.verdict for item in router.told() if isinstance(item, Began)] == [Verdict.REPLAY]


async def test_a_pass_waits_for_a_broker_that_is_away(router: Router):
    router.own()
    router.route(30)
    router.log.failures = 2
    router.ask(1, 9)
    assert (await router.answer(1))[0] == plain(router, 9, 30, 0)


async def test_a_snapshot_of_events_is_empty(router: Router):
    router.own()
    router.route(30)
    router.ask(1, None, snapshot=True)
    assert await router.answer(1) == ([], 30)
