"""Interest records folded: who wants which rooms, and whose word is void."""

from __future__ import annotations

import pytest

from common.channels import Channel
from common.events import Interest, SlotTaken, StreamCreated
from common.identifiers import FencingEpoch, GatewayId, RoomId, Slot
from common.topics import EPOCH_HEADER, interest_key, slot_key, stream_key
from router.interest import InterestFold, Off, UnreadableInterest, Wanted, read_interest
from services.router.tests.strategies import interest, room

ROOM = room(Channel.PRICES, {"tokenIds": ["coingecko:bitcoin"]})
OTHER = room(Channel.TVL, {})


def want(slot: int, epoch: int, the_room=ROOM, request: int = 1) -> Interest:
    return interest(the_room, slot=slot, epoch=epoch, gateway=f"gw-{epoch}", request=request)


def taken(slot: int, epoch: int, gateway: str | None = "gw") -> SlotTaken:
    return SlotTaken(slot=Slot(slot), epoch=FencingEpoch(epoch), gateway=gateway and GatewayId(gateway))


def rooms(fold: InterestFold, slot: int) -> set[RoomId]:
    return {room for channel in Channel for room in fold.index.channel(channel).rooms_of(Slot(slot))}


def test_a_room_that_is_wanted_is_on_and_to_be_activated_under_its_request():
    fold = InterestFold()
    wanted = fold.apply(want(3, 10, request=77))
    assert isinstance(wanted, Wanted)
    assert (wanted.slot, wanted.room, wanted.channel, wanted.request) == (3, ROOM.id, Channel.PRICES, 77)
    assert rooms(fold, 3) == {ROOM.id}


def test_a_repeated_record_is_answered_again():
    fold = InterestFold()
    fold.apply(want(3, 10, request=1))
    again = fold.apply(want(3, 10, request=2))
    assert isinstance(again, Wanted)
    assert again.request == 2
    assert len(fold.index) == 1


def test_a_room_is_off_after_a_null():
    fold = InterestFold()
    fold.apply(want(3, 10))
    fold.apply(Off(Slot(3), ROOM.id, None))
    assert rooms(fold, 3) == set()


@pytest.mark.parametrize("newer", [taken(3, 11), want(3, 11, OTHER), taken(3, 11, None), taken(3, 10, None)])
def test_what_an_older_holder_wanted_is_void(newer):
    fold = InterestFold()
    fold.apply(want(3, 10))
    fold.apply(want(4, 10))
    fold.apply(newer)
    assert ROOM.id not in rooms(fold, 3)
    assert rooms(fold, 4) == {ROOM.id}


@pytest.mark.parametrize("known", [taken(3, 11), want(3, 11, OTHER), taken(3, 10, None)])
def test_interest_of_an_epoch_that_is_over_is_passed_over(known):
    fold = InterestFold()
    fold.apply(known)
    assert fold.apply(want(3, 10)) is None
    assert ROOM.id not in rooms(fold, 3)


def test_an_older_slot_record_changes_nothing():
    fold = InterestFold()
    fold.apply(want(3, 11))
    fold.apply(taken(3, 10, None))
    assert rooms(fold, 3) == {ROOM.id}
    assert fold.epoch(Slot(3)) == 11


def test_a_late_null_of_an_older_holder_does_not_end_what_the_new_one_wants():
    fold = InterestFold()
    fold.apply(want(3, 11))
    fold.apply(Off(Slot(3), ROOM.id, FencingEpoch(10)))
    assert rooms(fold, 3) == {ROOM.id}
    fold.apply(Off(Slot(3), ROOM.id, FencingEpoch(11)))
    assert rooms(fold, 3) == set()


def test_slots_with_a_gateway_are_live():
    fold = InterestFold()
    fold.apply(taken(1, 5))
    fold.apply(taken(2, 5, None))
    fold.apply(want(3, 5))
    assert set(fold.live()) == {1, 3}


def test_the_last_stream_record_of_a_channel_holds():
    fold = InterestFold()
    fold.apply(StreamCreated(channel="prices", epoch="aaa"))
    fold.apply(StreamCreated(channel="prices", epoch="bbb"))
    assert fold.streams == {"prices": "bbb"}


def test_a_cleared_fold_knows_nothing():
    fold = InterestFold()
    fold.apply(want(3, 10))
    fold.apply(StreamCreated(channel="prices", epoch="aaa"))
    fold.clear()
    assert (len(fold.index), fold.holders, fold.streams, fold.read) == (0, {}, {}, {})


def test_records_are_read_by_their_keys():
    interest, slot, stream = want(3, 10), taken(3, 10), StreamCreated(channel="tvl", epoch="x")
    assert read_interest(interest_key(Slot(3), ROOM.id), interest.encode()) == interest
    assert read_interest(slot_key(Slot(3)), slot.encode()) == slot
    assert read_interest(stream_key("tvl"), stream.encode()) == stream
    assert read_interest(interest_key(Slot(3), ROOM.id), None) == Off(Slot(3), ROOM.id, None)
    assert read_interest(interest_key(Slot(3), ROOM.id), None, [(EPOCH_HEADER, b"12")]) == Off(
        Slot(3), ROOM.id, FencingEpoch(12)
    )
    assert read_interest(slot_key(Slot(3)), None) is None


@pytest.mark.parametrize(
    ("key", "value"), [(b"x", b"{}"), (None, b"{}"), (b"3:", b"[]"), (b"3:prices:0", b"\xff"), (b"stream:tvl", b"{}")]
)
def test_records_that_mean_nothing_say_so(key, value):
    with pytest.raises(UnreadableInterest):
        read_interest(key, value)


def test_a_filter_that_is_none_changes_nothing():
    fold = InterestFold()
    with pytest.raises(UnreadableInterest):
        fold.apply(want(3, 10).model_copy(update={"filter": {"nonsense": 1}}))
    assert len(fold.index) == 0
    assert fold.live() == []


def test_an_id_that_is_no_rooms_changes_nothing():
    fold = InterestFold()
    with pytest.raises(UnreadableInterest, match="prices:9"):
        fold.apply(want(3, 10).model_copy(update={"room": "prices:9"}))
    assert len(fold.index) == 0
