"""Rooms become active partition by partition; subscribes wait for all of it, and every hard case converges."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.deliveries import TookOver
from common.rooms import Room
from gateway.activation import Activation
from services.gateway.tests.roles import RecordingInterest, Subscribe, examples, room, tokens

PARTITIONS = 3
RETRY, TIMEOUT = 1.0, 5.0
BTC, ETH = tokens("btc"), tokens("eth")


class World:
    """An activation, what it wrote, and how many rooms recover on each partition."""

    def __init__(self) -> None:
        self.interest = RecordingInterest()
        self.recovering: dict[tuple[str, int], int] = {}
        self.activation = Activation(
            self.interest,
            partitions=lambda _channel: PARTITIONS,
            recovering=self._change,
            position=lambda _channel, _partition: 0,
            stream=lambda _channel: "k3f9",
            retry=RETRY,
            timeout=TIMEOUT,
        )

    def _change(self, channel: str, partition: int, change: int) -> None:
        self.recovering[channel, partition] = self.recovering.get((channel, partition), 0) + change

    def subscribe(self, *rooms: Room, now: float = 0.0) -> Subscribe:
        subscribe = Subscribe(*rooms, since=now)
        self.activation.join(subscribe.waiting, now=now)
        return subscribe

    def answer(self, room: Room, *partitions: int, request: int | None = None) -> None:
        for partition in partitions or range(PARTITIONS):
            self.activation.activated(room.id, partition, self.interest.request(room) if request is None else request)

    def written(self, room: Room, offset: int, *, partition: int = 0) -> None:
        self.activation.written(room.id, self.interest.request(room), partition, offset)

    def take_over(
        self, partition: int, *, read: dict[int, int], channel: str = "prices", now: float = 0.0, start: int = 0
    ) -> None:
        self.activation.took_over(channel, partition, TookOver(start, read), now=now)


@pytest.fixture
def world():
    return World()


def test_a_subscribe_waits_until_every_partition_is_active(world):
    subscribe = world.subscribe(BTC)
    world.answer(BTC, 0, 2)
    assert subscribe.outcome is None
    world.answer(BTC, 1)
    assert subscribe.outcome == "done"


def test_the_same_partition_twice_is_not_two(world):
    subscribe = world.subscribe(BTC)
    world.answer(BTC, 0, 0, 0, 1)
    assert subscribe.outcome is None


def test_a_room_is_asked_for_once_however_many_wait_for_it(world):
    subscribes = [world.subscribe(BTC) for _ in range(3)]
    assert world.interest.requests(BTC) == 1
    world.answer(BTC)
    assert [each.outcome for each in subscribes] == ["done"] * 3


def test_a_room_that_is_active_is_joined_at_once_and_without_a_record(world):
    world.subscribe(BTC)
    world.answer(BTC)
    assert world.subscribe(BTC).outcome == "done"
    assert world.interest.requests(BTC) == 1


def test_a_subscribe_to_several_rooms_waits_for_all(world):
    subscribe = world.subscribe(BTC, ETH)
    world.answer(ETH)
    assert subscribe.outcome is None
    world.answer(BTC)
    assert subscribe.outcome == "done"


def test_the_last_holder_takes_the_interest_back(world):
    world.subscribe(BTC)
    world.subscribe(BTC)
    world.answer(BTC)
    world.activation.leave(BTC)
    assert world.interest.wanted == {BTC.id}
    world.activation.leave(BTC)
    assert world.interest.wanted == set()
    assert len(world.activation) == 0


def test_leaving_a_room_that_nobody_holds_does_nothing(world):
    world.activation.leave(BTC)
    assert world.interest.records == []


def test_a_room_wanted_again_is_asked_for_anew_and_older_answers_are_refused(world):
    world.subscribe(BTC)
    old = world.interest.request(BTC)
    world.activation.leave(BTC)
    subscribe = world.subscribe(BTC)
    world.answer(BTC, request=old)
    assert subscribe.outcome is None
    world.answer(BTC)
    assert subscribe.outcome == "done"


def test_answers_for_a_room_that_nobody_wants_are_passed_over(world):
    world.activation.activated(BTC.id, 0, 1)
    assert len(world.activation) == 0


def test_a_cancelled_subscribe_is_never_answered_and_holds_nothing(world):
    subscribe = world.subscribe(BTC, ETH)
    world.activation.cancel(subscribe.waiting)
    assert world.interest.wanted == set()
    world.answer(BTC)
    world.activation.tick(TIMEOUT)
    assert subscribe.outcome is None


def test_cancelling_twice_takes_nothing_from_others(world):
    cancelled, kept = world.subscribe(BTC), world.subscribe(BTC)
    world.activation.cancel(cancelled.waiting)
    world.activation.cancel(cancelled.waiting)
    assert world.interest.wanted == {BTC.id}
    world.answer(BTC)
    assert kept.outcome == "done"


def test_a_subscribe_of_a_lost_slot_takes_nothing_from_those_of_the_next(world):
    lost = world.subscribe(BTC)
    world.activation.clear()
    kept = world.subscribe(BTC)
    world.activation.cancel(lost.waiting)
    assert world.interest.wanted == {BTC.id}
    world.answer(BTC)
    assert (lost.outcome, kept.outcome) == (None, "done")


def test_what_is_not_answered_is_asked_again_after_retry(world):
    world.subscribe(BTC)
    world.activation.tick(RETRY - 0.01)
    assert world.interest.requests(BTC) == 1
    world.activation.tick(RETRY)
    assert world.interest.requests(BTC) == 2
    world.activation.tick(RETRY + 0.5)
    assert world.interest.requests(BTC) == 2


def test_slow_answers_converge(world):
    """Each answer comes later than the next request went out; asking again must not refuse them all."""
    subscribe = world.subscribe(BTC)
    for partition in range(PARTITIONS):
        request = world.interest.request(BTC)
        world.activation.tick(RETRY * (partition + 1))
        world.answer(BTC, partition, request=request)
    assert subscribe.outcome == "done"


def test_a_room_that_is_settled_is_not_asked_for_again(world):
    world.subscribe(BTC)
    world.answer(BTC)
    world.activation.tick(100.0)
    assert world.interest.requests(BTC) == 1


def test_a_subscribe_fails_after_the_timeout_and_leaves_nothing_half_done(world):
    subscribe = world.subscribe(BTC, ETH)
    world.answer(ETH)
    world.activation.tick(TIMEOUT)
    assert subscribe.outcome is not None
    assert "try again" in subscribe.outcome
    assert world.interest.wanted == set()


def test_a_room_that_another_holds_outlives_a_failed_subscribe(world):
    failed = world.subscribe(BTC, now=0.0)
    patient = world.subscribe(BTC, now=1.0)
    world.activation.tick(TIMEOUT)
    assert failed.outcome != "done"
    assert world.interest.wanted == {BTC.id}
    world.answer(BTC)
    assert patient.outcome == "done"


def active(world: World, *rooms: Room, offset: int = 10) -> None:
    """The rooms, active, with their interest records at an offset of partition 0."""
    for each in rooms:
        world.subscribe(each)
        world.written(each, offset)
        world.answer(each)


def test_a_new_owner_that_has_read_the_interest_is_not_asked(world):
    active(world, BTC, offset=10)
    world.take_over(1, read={0: 11})
    assert world.interest.requests(BTC) == 1
    assert world.subscribe(BTC).outcome == "done"


@pytest.mark.parametrize("read", [{0: 10}, {0: 3}, {}, {1: 99}])
def test_a_new_owner_that_has_not_read_the_interest_is_asked_again(world, read):
    active(world, BTC, offset=10)
    world.take_over(1, read=read)
    assert world.interest.requests(BTC) == 2
    assert world.recovering == {("prices", 1): 1}
    world.answer(BTC, 1)
    assert world.recovering == {("prices", 1): 0}


def test_a_new_owner_is_asked_again_when_the_broker_has_not_said_where_the_record_is(world):
    world.subscribe(BTC)
    world.answer(BTC)
    world.take_over(1, read={0: 99})
    assert world.interest.requests(BTC) == 2


def test_each_partition_taken_over_recovers(world):
    """One router takes several partitions at once; the first re-asks, and its record is not acknowledged before the next."""
    active(world, BTC)
    for partition in range(PARTITIONS):
        world.take_over(partition, read={0: 5})
    assert world.recovering == {("prices", partition): 1 for partition in range(PARTITIONS)}
    world.answer(BTC)
    assert set(world.recovering.values()) == {0}


def test_an_answer_to_the_record_before_the_takeover_ends_no_recovery(world):
    active(world, BTC)
    old = world.interest.request(BTC)
    world.take_over(1, read={})
    world.answer(BTC, 1, request=old)
    assert world.recovering == {("prices", 1): 1}


def test_taking_over_a_partition_twice_recovers_it_once(world):
    active(world, BTC)
    world.take_over(1, read={})
    world.take_over(1, read={})
    assert world.recovering == {("prices", 1): 1}
    world.answer(BTC, 1)
    assert world.recovering == {("prices", 1): 0}


def test_a_new_owner_is_asked_for_what_follows_its_start_where_that_is_beyond_the_position(world):
    active(world, BTC)
    world.take_over(1, read={}, start=8)
    assert world.interest.asks[world.interest.request(BTC)].since == {0: 0, 1: 7, 2: 0}


def test_nobody_joins_a_room_while_it_recovers(world):
    active(world, BTC)
    world.take_over(1, read={})
    late = world.subscribe(BTC)
    assert late.outcome is None
    world.answer(BTC, 1)
    assert late.outcome == "done"


def test_a_subscribe_waits_also_for_a_room_that_began_to_recover_meanwhile(world):
    active(world, BTC)
    both = world.subscribe(BTC, ETH)
    world.take_over(1, read={})
    world.answer(ETH)
    assert both.outcome is None
    world.answer(BTC, 1)
    assert both.outcome == "done"


def test_a_recovery_that_is_not_answered_is_asked_for_again(world):
    active(world, BTC)
    world.take_over(1, read={}, now=10.0)
    world.activation.tick(10.0 + RETRY)
    assert world.interest.requests(BTC) == 3


def test_a_room_left_while_it_recovers_ends_its_recovery(world):
    active(world, BTC)
    world.take_over(1, read={})
    world.activation.leave(BTC)
    assert world.recovering == {("prices", 1): 0}


def test_another_channel_or_a_partition_not_yet_active_does_not_recover(world):
    world.subscribe(BTC)
    world.written(BTC, 10)
    world.answer(BTC, 0)
    world.take_over(0, read={}, channel="tvl")
    world.take_over(1, read={})
    assert world.recovering == {}


def test_an_acknowledgement_of_an_older_record_says_nothing_of_the_latest(world):
    world.subscribe(BTC)
    world.answer(BTC)
    world.activation.written(BTC.id, world.interest.request(BTC) - 1, 0, 5)
    world.take_over(0, read={0: 6})
    assert world.recovering == {("prices", 0): 1}


def test_clear_tells_what_was_wanted_and_forgets_it(world):
    active(world, BTC)
    assert list(world.activation.clear()) == [BTC]
    assert len(world.activation) == 0
    world.activation.tick(100.0)
    assert world.interest.requests(BTC) == 1


ROOMS = [room("prices", tokenIds=[name]) for name in "abc"]


class Histories(RuleBasedStateMachine):
    """Any history of subscribes, leaves, takeovers and answers, slow ones too, ends with every subscribe answered."""

    @initialize()
    def begin(self):
        self.world = World()
        self.now = 0.0
        self.waiting: list[Subscribe] = []
        self.holders: dict[str, int] = {each.id: 0 for each in ROOMS}

    def settle(self) -> None:
        for subscribe in list(self.waiting):
            if subscribe.outcome is not None:
                self.waiting.remove(subscribe)
                if subscribe.outcome != "done":
                    self.hold(subscribe, -1)

    def hold(self, subscribe: Subscribe, change: int) -> None:
        for each in subscribe.waiting.rooms:
            self.holders[each.id] += change

    @rule(rooms=st.lists(st.sampled_from(ROOMS), min_size=1, max_size=3, unique=True))
    def subscribe(self, rooms):
        subscribe = self.world.subscribe(*rooms, now=self.now)
        self.hold(subscribe, 1)
        self.waiting.append(subscribe)
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(number=st.integers(0, 10))
    def cancel(self, number):
        subscribe = self.waiting.pop(number % len(self.waiting))
        self.world.activation.cancel(subscribe.waiting)
        self.hold(subscribe, -1)

    @rule(left=st.sampled_from(ROOMS))
    def leave(self, left):
        joined = self.holders[left.id] - sum(left in each.waiting.rooms for each in self.waiting)
        if joined > 0:
            self.world.activation.leave(left)
            self.holders[left.id] -= 1

    @rule(answered=st.sampled_from(ROOMS), partition=st.integers(0, PARTITIONS - 1), behind=st.integers(0, 2))
    def answer(self, answered, partition, behind):
        if answered.id in self.world.interest.wanted:
            request = self.world.interest.request(answered) - behind
            self.world.answer(answered, partition, request=request)
            self.settle()

    @rule(partition=st.integers(0, PARTITIONS - 1), read=st.integers(0, 3))
    def take_over(self, partition, read):
        self.world.take_over(partition, read={0: read}, now=self.now)

    @rule(written=st.sampled_from(ROOMS), offset=st.integers(0, 3))
    def acknowledge(self, written, offset):
        if written.id in self.world.interest.wanted:
            self.world.written(written, offset)

    @rule(seconds=st.floats(0, 3))
    def tick(self, seconds):
        self.now += seconds
        self.world.activation.tick(self.now)
        self.settle()

    @invariant()
    def what_is_held_is_wanted(self):
        if hasattr(self, "world"):
            assert self.world.interest.wanted == {each for each, count in self.holders.items() if count}
            assert all(count >= 0 for count in self.world.recovering.values())

    def teardown(self):
        if not hasattr(self, "world"):
            return
        for each in ROOMS:
            if each.id in self.world.interest.wanted:
                self.world.answer(each)
        self.settle()
        assert self.waiting == []
        assert not any(self.world.recovering.values())


TestHistories = Histories.TestCase
TestHistories.settings = settings(examples, stateful_step_count=25)
