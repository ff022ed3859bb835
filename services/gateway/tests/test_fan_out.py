"""Frames of a tick: each member gets what is for it, once, in order and in one write, whichever way it went."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.fan_out import FanOut, HubRoom
from gateway.protocol.frames import text_frame
from services.gateway.tests.roles import RecordingMember, tokens

ROOMS, MEMBERS = 3, 5


class World:
    """Rooms and members, and a frame for each number."""

    def __init__(self) -> None:
        self.fan_out = FanOut()
        self.rooms = [HubRoom(tokens(f"token-{number}")) for number in range(ROOMS)]
        self.sent = 0

    def member(self, *rooms: int) -> RecordingMember:
        member = RecordingMember()
        for number in rooms:
            self.rooms[number].add(member)
        return member

    def frame(self) -> bytes:
        self.sent += 1
        return text_frame(str(self.sent).encode())

    def to_rooms(self, *rooms: int) -> int:
        return self.fan_out.to_rooms([self.rooms[number] for number in rooms], self.frame())


@pytest.fixture
def world() -> World:
    return World()


def test_members_of_one_room_alone_share_one_joined_write(world):
    one, other = world.member(0), world.member(0)
    assert [world.to_rooms(0) for _ in range(3)] == [2, 2, 2]
    world.fan_out.flush()
    assert one.joined[0] is other.joined[0]
    assert (one.got, len(one.writes)) == (["1", "2", "3"], 1)


def test_a_member_of_several_rooms_gets_each_frame_once_in_order_in_one_write(world):
    several, alone = world.member(0, 1), world.member(1)
    assert [world.to_rooms(0), world.to_rooms(0, 1), world.to_rooms(1)] == [1, 2, 2]
    world.fan_out.flush()
    assert (several.got, len(several.writes)) == (["1", "2", "3"], 1)
    assert (alone.got, len(alone.writes)) == (["2", "3"], 1)


def test_what_is_for_one_member_comes_after_what_waits_for_its_room_and_before_what_follows(world):
    chosen, other = world.member(0), world.member(0)
    world.to_rooms(0)
    world.fan_out.to_members([chosen], world.frame())
    world.to_rooms(0)
    world.fan_out.flush()
    assert (chosen.got, other.got) == (["1", "2", "3"], ["1", "3"])


def test_a_tick_that_went_to_members_one_by_one_is_forgotten_by_the_next(world):
    one, other = world.member(0), world.member(0)
    world.fan_out.to_members([one], world.frame())
    world.fan_out.flush()
    world.to_rooms(0)
    world.fan_out.flush()
    assert one.joined[-1] is other.joined[-1]


def test_who_left_all_its_rooms_is_alone_again_in_the_next(world):
    member, other = world.member(0, 1), world.member(2)
    for number in (0, 1):
        world.rooms[number].remove(member)
    world.rooms[2].add(member)
    world.to_rooms(2)
    world.fan_out.flush()
    assert member.joined[0] is other.joined[0]


def test_a_flush_may_be_done_in_parts_that_are_still_one_write_each(world):
    here, there = [world.member(0) for _ in range(5)], [world.member(1, 2) for _ in range(3)]
    for _ in range(2):
        world.to_rooms(0, 1)
    parts = 1
    while world.fan_out.flush(2):
        assert sum(len(member.writes) for member in here + there) == 2 * parts
        parts += 1
    assert parts == 4
    assert [(member.got, len(member.writes)) for member in here + there] == [(["1", "2"], 1)] * 8


members, rooms = st.integers(0, MEMBERS - 1), st.integers(0, ROOMS - 1)


class Ticks(RuleBasedStateMachine):
    """Anything that a tick may bring, in any order, beside lists that just keep what each member is to get."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.members = [RecordingMember() for _ in range(MEMBERS)]
        self.expected: list[list[str]] = [[] for _ in range(MEMBERS)]

    @rule(number=members, room=rooms)
    def join_or_leave(self, number: int, room: int) -> None:
        member, here = self.members[number], self.world.rooms[room]
        self.world.fan_out.spill()
        if member in here.members:
            here.remove(member)
        else:
            here.add(member)

    @rule(chosen=st.sets(rooms, min_size=1))
    def to_rooms(self, chosen: Collection[int]) -> None:
        here = [self.world.rooms[room] for room in chosen]
        concerned = [n for n in range(MEMBERS) if any(self.members[n] in each.members for each in here)]
        assert self.world.to_rooms(*chosen) == len(concerned)
        self._expect(concerned)

    @rule(chosen=st.sets(members, min_size=1))
    def to_members(self, chosen: Collection[int]) -> None:
        self.world.fan_out.to_members([self.members[number] for number in chosen], self.world.frame())
        self._expect(chosen)

    @rule(number=members)
    def reply(self, number: int) -> None:
        """What a connection does before it writes a reply."""
        self.world.fan_out.spill()
        self.members[number].flush({})
        assert self.members[number].got == self.expected[number]

    @rule(most=st.integers(1, 4))
    def flush_some(self, most: int) -> None:
        """A flush is begun; whatever comes may come before it goes on."""
        self.world.fan_out.flush(most)

    @rule()
    def flush(self) -> None:
        assert not self.world.fan_out.flush()
        assert [member.got for member in self.members] == self.expected

    @invariant()
    def nothing_waits_in_the_shared_list(self) -> None:
        assert RecordingMember().frames == []

    def _expect(self, concerned: Collection[int]) -> None:
        for number in concerned:
            self.expected[number].append(str(self.world.sent))


Ticks.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestTicks = Ticks.TestCase
