"""Records on a real Redis: a batch of events leaves what its events leave one at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from common import redis_keys
from common.channels import Channel
from common.events import ConnectionClosed, ConnectionOpened, ConnectionsSeen, Subscribed, Unsubscribed
from common.identifiers import ConnectionId, FencingEpoch, GatewayId, KeyHash, Slot
from common.rooms import Room
from router.records import BATCH, Event, Records
from services.router.tests.strategies import room

ROOMS = [
    room(Channel.PRICES, {"tokenIds": ["coingecko:bitcoin"]}),
    room(Channel.PRICES, {"minValue": 0.5}),
    room(Channel.LIQUIDATIONS, {"userId": "Zo\u00eb %s"}),
]
SLOTS = (Slot(1), Slot(2))
OLD, HELD = FencingEpoch(1_700_000_000_001), FencingEpoch(1_700_000_000_002)
KINDS = ("opened", "opened", "subscribed", "subscribed", "unsubscribed", "seen", "closed")


async def test_a_batch_leaves_what_its_events_leave_one_at_a_time(store: Any):
    records = Records(store)
    for seed in range(40):
        events = _events(random.Random(seed), 60)
        await _begin(store)
        for event in events:
            await records.write([event])
        singly = await _everything(store)

        await _begin(store)
        await records.write(events)

        assert await _everything(store) == singly, f"seed {seed}: {events}"
        assert singly


@pytest.mark.parametrize("count", [1, BATCH, BATCH + 1, 3 * BATCH + 7])
async def test_a_batch_may_be_longer_than_a_script_is_given(store: Any, count: int):
    records = Records(store)
    ids = [ConnectionId(f"connection-{n}") for n in range(count)]

    await records.write([_opened(each, SLOTS[0], HELD) for each in ids])
    await records.write([_subscribed(each, SLOTS[0], HELD, ROOMS[0]) for each in ids])

    assert await store.smembers(redis_keys.CONNECTIONS) == set(ids)
    assert await store.smembers(redis_keys.room_members(ROOMS[0].id)) == set(ids)
    assert await store.hget(redis_keys.connection(ids[-1]), "subscriptions") == ROOMS[0].id

    await records.write([_unsubscribed(each, SLOTS[0], HELD, ROOMS[0]) for each in ids])
    assert not await store.exists(redis_keys.room(ROOMS[0].id), redis_keys.channel_rooms(Channel.PRICES))

    await records.write([ConnectionClosed(slot=SLOTS[0], epoch=HELD, at=2, connection=each, code=1000) for each in ids])
    assert not await store.exists(redis_keys.CONNECTIONS, *map(redis_keys.connection, ids))


async def _begin(store: Any) -> None:
    """Nothing, but that a slot has a holder newer than some of the events."""
    await store.flushdb()
    await store.hset(redis_keys.slot(SLOTS[0]), "epoch", HELD)


def _events(chance: random.Random, count: int) -> Sequence[Event]:
    """Of few connections, in runs of a kind, as batches of a topic have them, and some of an older lease."""
    events: list[Event] = []
    while len(events) < count:
        slot, epoch, kind = chance.choice(SLOTS), chance.choice((OLD, HELD, HELD, HELD)), chance.choice(KINDS)
        for _ in range(chance.randint(1, 6)):
            connection = ConnectionId(f"connection-{chance.randrange(8)}")
            events.append(_event(kind, connection, slot, epoch, chance.choice(ROOMS)))
    return events


def _event(kind: str, connection: ConnectionId, slot: Slot, epoch: FencingEpoch, the_room: Room) -> Event:
    match kind:
        case "opened":
            return _opened(connection, slot, epoch)
        case "subscribed":
            return _subscribed(connection, slot, epoch, the_room)
        case "unsubscribed":
            return _unsubscribed(connection, slot, epoch, the_room)
        case "seen":
            return ConnectionsSeen(slot=slot, epoch=epoch, at=1_700_000_005_000, connections=[connection])
        case _:
            return ConnectionClosed(slot=slot, epoch=epoch, at=2, connection=connection, code=1000)


def _opened(connection: ConnectionId, slot: Slot, epoch: FencingEpoch) -> ConnectionOpened:
    return ConnectionOpened(
        slot=slot,
        epoch=epoch,
        at=1_700_000_000_000,
        connection=connection,
        gateway=GatewayId(f"gateway-{slot}"),
        key_hash=KeyHash("ab" * 32),
        user=None if slot == SLOTS[0] else 'Zo\u00eb "%s"',
        address="10.0.0.1",
        connected_at=1_700_000_000_000,
    )


def _subscribed(connection: ConnectionId, slot: Slot, epoch: FencingEpoch, the_room: Room) -> Subscribed:
    return Subscribed(
        slot=slot,
        epoch=epoch,
        at=1,
        connection=connection,
        room=the_room.id,
        channel=the_room.channel,
        filter=the_room.filter.to_json(),
    )


def _unsubscribed(connection: ConnectionId, slot: Slot, epoch: FencingEpoch, the_room: Room) -> Unsubscribed:
    return Unsubscribed(slot=slot, epoch=epoch, at=1, connection=connection, room=the_room.id)


async def _everything(store: Any) -> dict[str, tuple[Any, bool]]:
    """All keys with their values, and whether they end by themselves."""
    found: dict[str, tuple[Any, bool]] = {}
    async for key in store.scan_iter():
        kind = await store.type(key)
        match kind:
            case "hash":
                value = await store.hgetall(key)
            case "set":
                value = await store.smembers(key)
            case _:
                value = await store.get(key)
        found[key] = value, await store.ttl(key) > 0
    return found
