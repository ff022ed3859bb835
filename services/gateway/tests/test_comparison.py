"""What counts as a difference between the records and the truth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.identifiers import ConnectionId, RoomId
from gateway.comparison import Difference, Recorded, differences, rooms_missing, strangers
from services.gateway.tests.roles import examples

ANN, BOB = ConnectionId("ann"), ConnectionId("bob")
BTC, ETH = RoomId("prices:btc"), RoomId("prices:eth")
ROOMS = frozenset({BTC, ETH})

rooms = st.frozensets(st.sampled_from(sorted(ROOMS)))
records = st.builds(Recorded, st.booleans(), rooms, rooms)


def test_what_is_on_record_as_it_is_here_differs_in_nothing():
    assert differences({ANN: ROOMS}, {ANN: Recorded(known=True, named=ROOMS, joined=ROOMS)}) == set()


def test_a_connection_of_which_nothing_is_known_is_told_with_its_rooms():
    assert differences({ANN: {BTC}}, {ANN: Recorded(known=False)}) == {
        Difference(ANN, None, here=True),
        Difference(ANN, BTC, here=True),
    }


def test_a_room_must_be_named_by_the_connection_and_have_it_as_a_member():
    named, joined = Recorded(known=True, named=ROOMS), Recorded(known=True, joined=ROOMS)
    for record in (named, joined):
        assert {each.room for each in differences({ANN: ROOMS}, {ANN: record})} == ROOMS


def test_a_room_that_was_left_is_told():
    record = Recorded(known=True, named=ROOMS, joined=frozenset({BTC}))
    assert differences({ANN: {BTC}}, {ANN: record}) == {Difference(ANN, ETH, here=False)}


def test_a_connection_that_has_ended_meanwhile_differs_in_nothing():
    assert differences({}, {ANN: Recorded(known=False)}) == set()


def test_who_is_listed_and_not_here_is_a_stranger():
    assert strangers({ANN}, {ANN, BOB}) == {Difference(BOB, None, here=False)}


def test_interest_differs_both_ways():
    assert rooms_missing({BTC}, {ETH}) == {(BTC, True), (ETH, False)}


@examples
@given(rooms, records)
def test_telling_the_differences_makes_the_record_true(held, record):
    named, joined = set(record.named), set(record.joined)
    for _connection, room, here in differences({ANN: held}, {ANN: record}):
        if room is not None:
            for each in (named, joined):
                each.add(room) if here else each.discard(room)
    assert named == held
    assert joined >= held
