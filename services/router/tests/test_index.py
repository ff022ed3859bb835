"""The rooms index against a plain matcher."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.channels import Channel
from common.deliveries import unpack_rooms
from common.filters import EVERYTHING
from common.identifiers import RoomId, Slot
from common.rooms import Room
from common.updates import Update
from router.index import RoomsIndex, UnknownRoomId
from services.router.tests.strategies import CHANNELS, FILTERS, UPDATES, USERS, matches, room

SLOTS = st.sampled_from([Slot(0), Slot(1), Slot(5)])
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove", "forget"]), SLOTS, CHANNELS, FILTERS), max_size=25
)


@given(STEPS, st.lists(UPDATES, min_size=1, max_size=10))
def test_an_update_matches_the_same_rooms_as_by_a_plain_look_at_every_filter(steps, updates):
    index = RoomsIndex()
    wanted: defaultdict[Slot, dict[RoomId, tuple[Channel, Mapping[str, Any]]]] = defaultdict(dict)
    for step, slot, channel, filters in steps:
        the_room = room(channel, filters)
        match step:
            case "add":
                index.add(slot, the_room)
                wanted[slot][the_room.id] = (channel, filters)
            case "remove":
                index.remove(slot, the_room.id)
                wanted[slot].pop(the_room.id, None)
            case "forget":
                index.forget(slot)
                wanted[slot].clear()

    for update in updates:
        expected = {
            slot: ids
            for slot, rooms in wanted.items()
            if (
                ids := {
                    room_id
                    for room_id, (channel, given) in rooms.items()
                    if channel == update.channel and matches(given, update)
                }
            )
        }
        found = {slot: sorted(unpack_rooms(rooms)) for slot, rooms in index.match(update).items()}
        assert found == {slot: sorted(rooms) for slot, rooms in expected.items()}
    assert len(index) == len({room_id for rooms in wanted.values() for room_id in rooms})


def test_a_large_index_finds_what_a_plain_look_finds_while_rooms_come_and_go():
    draw = random.Random(11)
    index, held = RoomsIndex(), {}
    for _ in range(4000):
        filters = large_filters(draw)
        the_room, slot = room(Channel.PRICES, filters), Slot(draw.randrange(3))
        index.add(slot, the_room)
        held[slot, the_room.id] = filters
        if draw.random() < 0.4:
            gone = draw.choice(list(held)) if draw.random() < 0.1 else (slot, the_room.id)
            index.remove(*gone)
            del held[gone]
    for _ in range(60):
        update = large_update(draw)
        found = index.match(update)
        pairs = [(slot, room_id) for slot, rooms in found.items() for room_id in unpack_rooms(rooms)]
        assert sorted(pairs) == sorted(pair for pair, filters in held.items() if matches(filters, update))
    index.forget(Slot(0))
    for slot, room_id in held:
        index.remove(slot, room_id)
    assert index.channel(Channel.PRICES).empty


def large_filters(draw: random.Random) -> dict[str, Any]:
    """Over few tokens, so that nodes grow large; one in ten with many combinations of values."""
    most = 10 if draw.random() < 0.1 else 3
    filters: dict[str, Any] = {}
    for name, letter in (("tokenIds", "t"), ("protocolIds", "p"), ("chains", "c")):
        if most == 10 or draw.random() < 0.4:
            filters[name] = [f"{letter}{n}" for n in draw.sample(range(12), draw.randint(1, most))]
    if draw.random() < 0.1:
        filters["userId"] = draw.choice(USERS)
    if draw.random() < 0.3:
        filters["minValue"] = draw.choice((0, draw.uniform(0, 10)))
    if draw.random() < 0.3:
        filters["maxValue"] = filters.get("minValue", 0) + draw.uniform(0, 10)
    return filters


def large_update(draw: random.Random) -> Update:
    return Update(
        channel=Channel.PRICES,
        token_id=draw.choice((None, "t1", "t2", "t3")),
        protocol_id=draw.choice((None, "p1", "p2", "p3")),
        chains=tuple(draw.sample(("c1", "c2", "c3", "c4"), draw.randrange(4))),
        user_id=draw.choice((None, *USERS)),
        value=draw.choice((None, 0.0, draw.uniform(0, 20))),
        timestamp=None,
        names_channel=False,
        body=b"{}",
    )


def test_an_id_that_is_no_rooms_is_refused():
    index = RoomsIndex()
    for name in ("prices:9", "tvl:0123456789abcdef", "prices:0123456789ABCDEF", "prices:+123456789abcdef", "nonsense"):
        with pytest.raises(UnknownRoomId):
            index.add(Slot(1), Room(RoomId(name), Channel.PRICES, EVERYTHING))
    assert len(index) == 0


@given(st.lists(FILTERS, max_size=20), UPDATES)
def test_nothing_is_left_when_every_room_is_gone(given_filters, update):
    index = RoomsIndex()
    for filters in given_filters:
        index.add(Slot(1), room(Channel.PRICES, filters))
    for filters in given_filters:
        index.remove(Slot(1), room(Channel.PRICES, filters).id)
    assert len(index) == 0
    assert not index.match(update)
    assert not list(index.channel(Channel.PRICES).slots())
    assert index.channel(Channel.PRICES).empty


def test_a_room_stays_until_the_last_slot_leaves_it():
    index, the_room = RoomsIndex(), room(Channel.PRICES, {"tokenIds": ["a"]})
    index.add(Slot(1), the_room)
    index.add(Slot(2), the_room)
    index.add(Slot(2), the_room)
    index.remove(Slot(2), the_room.id)
    assert len(index) == 1
    assert index.channel(Channel.PRICES).rooms_of(Slot(1)) == [the_room.id]
    index.remove(Slot(1), the_room.id)
    assert len(index) == 0


def test_unknown_rooms_and_slots_can_be_removed():
    index = RoomsIndex()
    index.remove(Slot(1), RoomId("prices:0000000000000000"))
    index.remove(Slot(1), RoomId("nonsense"))
    index.forget(Slot(9))
    assert len(index) == 0
