"""What a router takes from a real Redis at its start, and what it must not: records that were emptied while it read them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from common.channels import Channel
from common.events import Interest, SlotTaken, StreamCreated
from common.identifiers import FencingEpoch, GatewayId, Slot
from router.bootstrap import bootstrap
from router.interest import Change, InterestFold, Off
from router.interest_log import STREAMS
from router.records import RecordedSlot, Records
from services.router.tests.strategies import interest, room

SLOTS = 3
EPOCH, GATEWAY = FencingEpoch(1_700_000_000_001), GatewayId("gw-1")
ROOM = room(Channel.PRICES, {"tokenIds": ["coingecko:bitcoin"]})
OFFSETS = {0: 40, 1: 7}


class Interrupted(Records):
    """Something happens once streams, or a slot, have been read."""

    def __init__(self, redis: Any, after: str | int, happens: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(redis)
        self._after = after
        self._happens = happens

    async def streams(self) -> dict[str, str]:
        found = await super().streams()
        if self._after == "streams":
            await self._happens()
        return found

    async def slot(self, slot: Slot) -> RecordedSlot:
        found = await super().slot(slot)
        if self._after == slot:
            await self._happens()
        return found


async def filled(store: Any, offsets: dict[int, int] = OFFSETS) -> Records:
    records = Records(store)
    streams = [StreamCreated(channel=channel, epoch="abc") for channel in STREAMS]
    taken = [SlotTaken(slot=Slot(number), epoch=EPOCH, gateway=GATEWAY) for number in range(SLOTS)]
    await records.write_interest([*streams, *taken, *map(wants, range(SLOTS))], offsets, seen={})
    return records


def wants(slot: int) -> Interest:
    return interest(ROOM, slot=slot, epoch=EPOCH, gateway=GATEWAY)


async def test_what_redis_has_is_taken_with_its_offsets(store: Any):
    fold = InterestFold()

    assert await bootstrap(fold, await filled(store), slots=SLOTS)

    assert fold.read == OFFSETS
    assert fold.live() == [0, 1, 2]
    assert all(fold.index.rooms_of(Slot(number)) == {ROOM.id} for number in range(SLOTS))


@pytest.mark.parametrize("after", ["streams", 0, SLOTS - 2])
@pytest.mark.parametrize("begun_anew", [{}, {0: 5, 1: 2}], ids=["empty", "being filled again"])
async def test_nothing_is_taken_from_a_redis_that_is_emptied_meanwhile(
    store: Any, after: str | int, begun_anew: dict[int, int]
):
    await filled(store)
    fold = InterestFold()

    async def emptied() -> None:
        await store.flushdb()
        if begun_anew:
            await Records(store).write_interest([], begun_anew, seen={})

    assert not await bootstrap(fold, Interrupted(store, after, emptied), slots=SLOTS)

    assert not fold.read
    assert not fold.streams
    assert not fold.live()


async def test_a_redis_that_goes_on_meanwhile_is_taken(store: Any):
    records = await filled(store)
    fold = InterestFold()

    async def more() -> None:
        await records.write_interest([wants(1)], {0: 41}, seen={})

    assert await bootstrap(fold, Interrupted(store, 0, more), slots=SLOTS)
    assert fold.read == OFFSETS


def changes(chance: random.Random) -> list[Change]:
    """What gateways that come and go write, in any order: also those that do not know yet that they have lost their slot."""
    gateways = [None, *map(GatewayId, ("gw-1", "gw-2"))]
    rooms = [ROOM, room(Channel.PRICES, {}), room(Channel.TVL, {})]
    written: list[Change] = []
    for _ in range(chance.randrange(40)):
        slot, epoch = Slot(chance.randrange(2)), FencingEpoch(chance.randint(1, 4))
        the_room = chance.choice(rooms)
        match chance.randrange(6):
            case 0:
                written.append(SlotTaken(slot=slot, epoch=epoch, gateway=chance.choice(gateways)))
            case 1:
                written.append(Off(slot, the_room.id, chance.choice((epoch, None))))
            case _:
                written.append(interest(the_room, slot=slot, epoch=epoch, request=chance.randint(1, 9)))
    return written


@pytest.mark.parametrize("seed", range(60))
async def test_what_redis_has_is_what_comes_of_reading_the_whole_topic(store: Any, seed: int):
    chance = random.Random(seed)
    written = changes(chance)
    read, taken = InterestFold(), InterestFold()
    for change in written:
        read.apply(change)

    streams = [StreamCreated(channel=channel, epoch="abc") for channel in STREAMS]
    half = chance.randint(0, len(written))
    records = Records(store)
    await records.write_interest([*streams, *written[:half]], {0: 1}, seen={})
    await records.write_interest(written[half:], {0: 2}, seen={0: 1})
    assert await bootstrap(taken, records, slots=2)

    assert taken.holders == read.holders
    assert [taken.index.rooms_of(Slot(slot)) for slot in range(2)] == [
        read.index.rooms_of(Slot(slot)) for slot in range(2)
    ]
