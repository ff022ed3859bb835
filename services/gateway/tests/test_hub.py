"""Fan-out: each connection gets what its rooms were routed, once, in order, and nothing that is not for it."""

from collections.abc import Mapping
from typing import Any

import pytest

from common.clock import ManualClock
from common.deliveries import VERSION, Activated, Delivery, Item, OperatorMessage, Progress, Routed, Segment, TookOver
from common.rooms import Room
from gateway.members import Frames
from gateway.outbox import Entity
from gateway.positions import Positions
from services.gateway.tests.roles import (
    STREAM,
    RecordingInterest,
    RecordingMember,
    delivery,
    hub_of,
    room,
    routed,
    tokens,
)

BTC, ETH, ALL = tokens("btc"), tokens("eth"), room("prices")
ALICE = room("prices", userId="alice")


class World:
    """A hub of channels with one partition, and a member for each name."""

    def __init__(self, partitions: int = 1) -> None:
        self.interest, self.positions, self.clock = RecordingInterest(), Positions(), ManualClock()
        self.hub = hub_of(self.interest, self.positions, self.clock, partitions=partitions)
        self.activation = self.hub.activation
        self.outcomes: list[str] = []

    def member(self, *rooms: Room, user: str | None = None) -> RecordingMember:
        member = RecordingMember(user)
        self.hub.register(member)
        for each in rooms:
            self.join(member, each)
        return member

    def ask(self, member: RecordingMember, *rooms: Room) -> None:
        self.hub.join(member, rooms, done=lambda: self.outcomes.append("done"), failed=self.outcomes.append)

    def join(self, member: RecordingMember, joined: Room) -> None:
        self.ask(member, joined)
        if joined.id in self.interest.wanted:
            self.activation.activated(joined.id, 0, self.interest.request(joined))

    def deliver(self, *items: Item, **options: Any) -> None:
        self.hub.deliver(delivery(*items, **options))
        self.hub.flush()


@pytest.fixture
def world():
    return World()


def test_an_update_reaches_the_members_of_its_rooms_and_nobody_else(world):
    btc, eth, none = world.member(BTC), world.member(ETH), world.member()
    world.deliver(routed(0, BTC), routed(1, ETH))
    assert (btc.got, eth.got, none.got) == (["0"], ["1"], [])


def test_an_update_comes_once_however_many_rooms_match(world):
    member = world.member(BTC, ALL)
    world.deliver(routed(0, BTC, ALL))
    assert member.got == ["0"]


def test_the_frame_is_built_once_and_shared(world):
    one, other = world.member(BTC), world.member(BTC)
    world.deliver(routed(0, BTC))
    assert one.writes[0][0] is other.writes[0][0]


def test_the_updates_of_a_tick_are_one_write_in_order(world):
    member = world.member(BTC, ETH)
    world.deliver(*(routed(offset, BTC if offset % 2 else ETH) for offset in range(10)))
    assert member.got == [str(offset) for offset in range(10)]
    assert len(member.writes) == 1


def test_nothing_is_written_to_who_got_nothing(world):
    member = world.member(BTC)
    world.deliver(routed(0, ETH), Progress(5))
    assert member.writes == []


def test_a_room_that_nobody_holds_any_more_is_passed_over(world):
    world.deliver(routed(0, BTC))
    assert world.hub.counts.updates == 1
    assert world.hub.counts.frames == 0


# Joining and leaving -------------------------------------------------------------------------------------------------


def test_a_connection_joins_when_the_room_is_active_and_gets_what_comes_after(world):
    member = world.member()
    world.ask(member, BTC)
    request = world.interest.request(BTC)
    world.deliver(routed(4, BTC), Activated(BTC.id, 5, request), routed(5, BTC))
    assert member.got == ["5"]
    assert world.outcomes == ["done"]


def test_the_cursor_at_the_moment_of_joining_is_the_activations_offset():
    world, cursors = World(), []
    world.hub.join(
        RecordingMember(), (BTC,), done=lambda: cursors.append(world.positions.cursor("prices")), failed=cursors.append
    )
    world.deliver(Activated(BTC.id, 5, world.interest.request(BTC)), routed(5, BTC))
    assert cursors == [f"{STREAM}.0:4"]


def test_a_second_member_of_an_active_room_joins_at_once(world):
    world.member(BTC)
    late = world.member()
    world.ask(late, BTC)
    assert world.outcomes[-1] == "done"
    world.deliver(routed(0, BTC))
    assert late.got == ["0"]


def test_a_member_that_leaves_gets_nothing_more(world):
    leaver, stays = world.member(BTC, ETH), world.member(BTC)
    world.hub.leave(leaver, BTC)
    world.deliver(routed(0, BTC), routed(1, ETH))
    assert (leaver.got, stays.got) == (["1"], ["0"])


def test_the_last_to_leave_takes_the_interest_back(world):
    one, other = world.member(BTC), world.member(BTC)
    world.hub.leave(one, BTC)
    assert world.interest.wanted == {BTC.id}
    world.hub.leave(other, BTC)
    assert world.interest.wanted == set()


def test_leaving_a_room_twice_takes_nothing_from_others(world):
    leaver, stays = world.member(BTC), world.member(BTC)
    world.hub.leave(leaver, BTC)
    world.hub.leave(leaver, BTC)
    world.deliver(routed(0, BTC))
    assert stays.got == ["0"]
    assert world.interest.wanted == {BTC.id}


def test_joining_a_room_twice_and_leaving_it_once_leaves_it(world):
    member = world.member(BTC)
    world.join(member, BTC)
    world.hub.leave(member, BTC)
    world.deliver(routed(0, BTC))
    assert member.got == []
    assert world.interest.wanted == set()


def test_an_unregistered_connection_is_nowhere(world):
    member = world.member(BTC, user="alice")
    world.hub.unregister(member, [BTC])
    world.hub.unregister(member, [BTC])
    world.deliver(routed(0, BTC), routed(1, BTC, user="alice"), OperatorMessage(2, b"all"))
    assert member.got == []
    assert (world.hub.rooms, len(world.hub.members), world.interest.wanted) == (0, 0, set())


def test_a_join_that_failed_joins_no_room():
    world = World(partitions=2)
    member = world.member()
    world.ask(member, BTC, ETH)
    world.activation.activated(BTC.id, 0, 1)
    world.clock.advance(5)
    world.activation.tick(world.clock.monotonic())
    assert len(world.outcomes) == 1
    assert world.outcomes != ["done"]
    world.deliver(routed(0, BTC))
    assert member.got == []


def test_after_clear_nothing_is_delivered_and_old_connections_take_nothing_from_new_ones(world):
    old = world.member(BTC)
    world.hub.clear()
    new = world.member(BTC)
    world.hub.unregister(old, [BTC])
    world.deliver(routed(0, BTC))
    assert (old.got, new.got) == ([], ["0"])
    assert world.interest.wanted == {BTC.id}


# Private updates -----------------------------------------------------------------------------------------------------


def test_a_private_update_reaches_only_its_users_connections_in_the_matched_rooms(world):
    alice, elsewhere, bob, nobody = (
        world.member(BTC, user="alice"),
        world.member(ETH, user="alice"),
        world.member(BTC, user="bob"),
        world.member(BTC),
    )
    world.deliver(routed(0, BTC, user="alice"))
    assert (alice.got, elsewhere.got, bob.got, nobody.got) == (["0"], [], [], [])


def test_who_was_allowed_to_name_the_user_gets_them_too(world):
    auditor = world.member(ALICE, user="auditor")
    also = world.member(BTC, user="auditor")
    world.deliver(routed(0, ALICE, BTC, user="alice"))
    assert (auditor.got, also.got) == (["0"], [])


def test_a_room_that_names_another_user_opens_nothing(world):
    member = world.member(ALICE, user="auditor")
    world.deliver(routed(0, ALICE, user="bob"))
    assert member.got == []


def test_a_private_update_comes_once_to_who_has_it_in_two_ways(world):
    alice = world.member(ALICE, BTC, ALL, user="alice")
    world.deliver(routed(0, ALICE, BTC, ALL, user="alice"))
    assert alice.got == ["0"]


# Repeats and owners --------------------------------------------------------------------------------------------------


def test_repeats_of_a_new_owner_are_dropped_and_counted(world):
    member = world.member(BTC)
    world.activation.written(BTC.id, world.interest.request(BTC), 0, 5)
    world.deliver(routed(0, BTC), routed(1, BTC))
    world.deliver(TookOver(0, {0: 99}), routed(0, BTC), routed(1, BTC), routed(2, BTC), generation=2)
    assert member.got == ["0", "1", "2"]
    assert world.hub.counts.repeats == 2


def test_an_owner_that_was_superseded_is_not_heard(world):
    member = world.member(BTC)
    world.deliver(routed(0, BTC), generation=2)
    world.deliver(routed(1, BTC), Activated(BTC.id, 0, 1), generation=1)
    assert member.got == ["0"]
    assert world.hub.counts.fenced == 2


def test_partitions_have_offsets_of_their_own(world):
    member = world.member(BTC)
    world.deliver(routed(7, BTC), partition=0)
    world.deliver(routed(3, BTC), partition=1)
    assert member.got == ["7", "3"]
    assert world.positions.cursor("prices") == f"{STREAM}.0:7,1:3"


def test_progress_moves_the_cursor_where_nothing_matched(world):
    world.deliver(Progress(41))
    assert world.positions.cursor("prices") == f"{STREAM}.0:41"


def test_a_takeover_that_has_not_read_our_interest_is_asked_and_holds_the_cursor(world):
    member = world.member(BTC)
    world.deliver(routed(3, BTC))
    world.deliver(TookOver(4, {}), Progress(9), generation=2)
    assert world.positions.cursor("prices") == f"{STREAM}.0:3"
    world.deliver(Activated(BTC.id, 10, world.interest.request(BTC)), routed(10, BTC), generation=2)
    assert world.positions.cursor("prices") == f"{STREAM}.0:10"
    assert member.got == ["3", "10"]


def test_several_segments_of_a_delivery_are_taken_in_order(world):
    member = world.member(BTC, room("tvl"))
    segments = [
        Segment("prices", 0, 1, STREAM, [routed(0, BTC)]),
        Segment("tvl", 0, 1, STREAM, [routed(1, room("tvl"))]),
        Segment("prices", 0, 1, STREAM, [routed(2, BTC)]),
    ]
    world.hub.deliver(Delivery(VERSION, 1, 0, segments))
    world.hub.flush()
    assert member.got == ["0", "1", "2"]


# Conflation ----------------------------------------------------------------------------------------------------------


class Writer(RecordingMember):
    """Is sent replies, each of which writes what waits; keeps which frames might have been conflated."""

    def __init__(self) -> None:
        super().__init__()
        self.spared: list[tuple[bytes, bool]] = []

    def send(self, _joined: bytes, frames: Frames, entities: Mapping[int, Entity]) -> None:
        self.spared += [(frame[2:], id(frame) in entities) for frame in frames]


def test_only_updates_of_state_channels_with_a_key_may_be_conflated(world):
    writer = Writer()
    world.hub.register(writer)
    alerts = room("alerts")
    for each in (BTC, alerts):
        world.join(writer, each)
    keyed = [Routed(0, [each.id], each.channel.encode(), 0, None, b"btc") for each in (BTC, alerts)]
    segments = [
        Segment(channel, 0, 1, STREAM, [item]) for channel, item in zip(("prices", "alerts"), keyed, strict=True)
    ]
    world.hub.deliver(Delivery(VERSION, 1, 0, [*segments, Segment("prices", 0, 1, STREAM, [routed(1, BTC)])]))
    world.hub.flush()
    assert writer.spared == [(b"prices", True), (b"alerts", False), (b"1", False)]


def test_frames_written_in_the_middle_of_a_tick_lend_their_identity_to_no_other(world):
    writer = Writer()
    world.hub.register(writer)
    world.join(writer, BTC)
    updates = delivery(*(Routed(offset, [BTC.id], b"price", 0, None, b"btc") for offset in range(100)))
    messages = [delivery(OperatorMessage(offset, b"hello"), channel="system") for offset in range(1_000)]
    world.hub.deliver(updates)
    world.hub.fan_out.spill()
    writer.flush({})
    writer.spared.clear()
    for message in messages:
        world.hub.deliver(message)
    world.hub.flush()
    assert writer.spared == [(b"hello", False)] * len(messages)


# Broadcasts ----------------------------------------------------------------------------------------------------------


def test_an_operators_message_reaches_everyone_who_is_authenticated(world):
    some, none = world.member(BTC), world.member()
    stranger = RecordingMember()
    world.deliver(OperatorMessage(0, b"hello"), channel="system")
    assert (some.got, none.got, stranger.got) == (["hello"], ["hello"], [])


def test_a_message_to_a_channel_reaches_its_subscribers_once(world):
    prices, tvl = world.member(BTC, ETH), world.member(room("tvl"))
    world.deliver(OperatorMessage(0, b"hello", "prices"), channel="system")
    assert (prices.got, tvl.got) == (["hello"], [])


def test_a_message_is_not_repeated(world):
    member = world.member()
    world.deliver(OperatorMessage(0, b"hello"), channel="system")
    world.deliver(OperatorMessage(0, b"hello"), channel="system", generation=2)
    assert member.got == ["hello"]


def test_subscriptions_are_counted_by_channel(world):
    world.member(BTC, ETH)
    world.member(BTC, room("tvl"))
    assert world.hub.subscriptions() == {"prices": 3, "tvl": 1}
    assert world.hub.rooms == 3
