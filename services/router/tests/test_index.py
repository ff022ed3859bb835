"""The rooms index against a plain matcher."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from common.channels import Channel
from common.identifiers import RoomId, Slot
from router.index import RoomsIndex
from services.router.tests.strategies import CHANNELS, FILTERS, UPDATES, matches, room

SLOTS = st.sampled_from([Slot(0), Slot(1), Slot(5)])
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove", "forget"]), SLOTS, CHANNELS, FILTERS), max_size=25
)


@given(STEPS, st.lists(UPDATES, min_size=1, max_size=10))
def test_an_update_matches_the_same_rooms_as_by_a_plain_look_at_every_filter(steps, updates):
    index, wanted = RoomsIndex(), defaultdict(dict)
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
            slot: found
            for slot, rooms in wanted.items()
            if (
                found := {
                    room_id
                    for room_id, (channel, given) in rooms.items()
                    if channel == update.channel and matches(given, update)
                }
            )
        }
        found = {slot: sorted(rooms) for slot, rooms in index.match(update).items()}
        assert found == {slot: sorted(rooms) for slot, rooms in expected.items()}
    assert len(index) == len({room_id for rooms in wanted.values() for room_id in rooms})


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
    assert not list(index.channel(Channel.PRICES)._buckets)


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
