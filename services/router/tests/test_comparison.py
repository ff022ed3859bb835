"""The index against the interest on record, in a real Redis."""

from __future__ import annotations

from typing import Any

import pytest

from common.channels import Channel
from common.events import Interest
from common.identifiers import RoomId, Slot
from common.rooms import Room
from router.comparison import IndexComparison
from router.interest import InterestFold, Off
from router.records import Records
from services.router.tests.strategies import interest, room

SLOT = Slot(1)
HELD, LOST = (room(Channel.PRICES, {"tokenIds": [name]}) for name in ("held", "lost"))


def wanted(the_room: Room, *, epoch: int = 5) -> Interest:
    return interest(the_room, slot=SLOT, epoch=epoch)


class World:
    """A log of one partition, read to offset 2 by a router and by the registry."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.fold = InterestFold()
        self.fold.read[0] = 2
        for each in (HELD, LOST):
            self.fold.apply(wanted(each))
        self.comparison = IndexComparison(self.fold, records, interval=1, confirm=0)

    async def recorded(self, *changes: Interest | Off, offset: int = 2) -> None:
        await self.records.write_interest(changes, {0: offset}, seen={})

    def rooms(self) -> set[RoomId]:
        return self.fold.index.rooms_of(SLOT)


@pytest.fixture
def world(store: Any) -> World:
    return World(Records(store))


async def test_a_room_that_the_index_lost_is_added(world: World):
    await world.recorded(wanted(HELD), wanted(LOST))
    assert await world.comparison.compare() == 0
    world.fold.index.remove(SLOT, LOST.id)
    assert await world.comparison.compare() == 1
    assert world.rooms() == {HELD.id, LOST.id}
    assert await world.comparison.compare() == 0


async def test_an_emptied_redis_takes_nothing_out_of_the_index(world: World):
    assert await world.comparison.compare() == 0
    assert world.rooms() == {HELD.id, LOST.id}


async def test_a_registry_that_is_behind_is_not_believed(world: World):
    await world.recorded(wanted(HELD), wanted(LOST), offset=1)
    world.fold.index.remove(SLOT, LOST.id)
    assert await world.comparison.compare() == 0
    assert world.rooms() == {HELD.id}


async def test_interest_of_an_older_lease_is_not_added(world: World):
    await world.recorded(wanted(HELD), wanted(LOST, epoch=4))
    world.fold.index.remove(SLOT, LOST.id)
    assert await world.comparison.compare() == 0
    assert world.rooms() == {HELD.id}
