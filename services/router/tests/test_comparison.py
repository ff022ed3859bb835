"""The index against the interest on record, in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from common.channels import Channel
from common.events import Interest
from common.identifiers import FencingEpoch, GatewayId, RoomId, Slot
from common.redis import connect_redis
from common.rooms import Room
from router.comparison import IndexComparison
from router.interest import InterestFold, Off
from router.records import Records
from services.router.tests.strategies import room
from services.router.tests.test_interest_log import settings_for
from tests.support.fixtures import Isolation

SLOT = Slot(1)
HELD, LOST = (room(Channel.PRICES, {"tokenIds": [name]}) for name in ("held", "lost"))


def interest(wanted: Room, *, epoch: int = 5) -> Interest:
    return Interest(
        slot=SLOT,
        epoch=FencingEpoch(epoch),
        gateway=GatewayId("g"),
        room=wanted.id,
        channel=wanted.channel,
        filter=wanted.filter.to_json(),
        request=1,
    )


class World:
    """A log of one partition, read to offset 2 by a router and by the registry."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.fold = InterestFold()
        self.fold.read[0] = 2
        for each in (HELD, LOST):
            self.fold.apply(interest(each))
        self.comparison = IndexComparison(self.fold, records, interval=1, confirm=0)

    async def recorded(self, *changes: Interest | Off, offset: int = 2) -> None:
        await self.records.write_interest(changes, {0: offset})

    def rooms(self) -> set[RoomId]:
        return self.fold.index.rooms_of(SLOT)


@pytest.fixture
async def world(isolation: Isolation) -> AsyncIterator[World]:
    redis = connect_redis(settings_for(isolation))
    await redis.flushdb()
    yield World(Records(redis))
    await redis.aclose()


async def test_a_room_that_the_index_lost_is_added(world: World):
    await world.recorded(interest(HELD), interest(LOST))
    assert await world.comparison.compare() == 0
    world.fold.index.remove(SLOT, LOST.id)
    assert await world.comparison.compare() == 1
    assert world.rooms() == {HELD.id, LOST.id}
    assert await world.comparison.compare() == 0


async def test_an_emptied_redis_takes_nothing_out_of_the_index(world: World):
    assert await world.comparison.compare() == 0
    assert world.rooms() == {HELD.id, LOST.id}


async def test_a_registry_that_is_behind_is_not_believed(world: World):
    await world.recorded(interest(HELD), interest(LOST), offset=1)
    world.fold.index.remove(SLOT, LOST.id)
    assert await world.comparison.compare() == 0
    assert world.rooms() == {HELD.id}


async def test_interest_of_an_older_lease_is_not_added(world: World):
    await world.recorded(interest(HELD), interest(LOST, epoch=4))
    world.fold.index.remove(SLOT, LOST.id)
    assert await world.comparison.compare() == 0
    assert world.rooms() == {HELD.id}
