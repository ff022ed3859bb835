"""What a room was sent of late: given to who asks for it a little later, without a word to the routers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from common.deliveries import Activated, Began, Progress, Replayed, TookOver, Verdict
from gateway.outbox import Entity
from gateway.recent import Recent
from services.gateway.tests.catching import BTC, ETH, World, replayed
from services.gateway.tests.roles import STREAM, RecordingMember, delivery, routed, tokens

FRAME = b"x" * 850
"""With what it takes besides: 1,000 bytes."""


@pytest.fixture
def world():
    """One was given what follows offset 1, up to 5, and then 6 came live."""
    world = World()
    world.resume({0: 1})
    world.tick()
    world.activate(6)
    world.answer(2, 3, 4, 5, upto=6)
    world.deliver(routed(6, BTC))
    return world


def came(world: World, since: dict[int, int], **options: object) -> tuple[list[str], list[str]]:
    """What a connection got at once that asks now, and what its subscribe was told. The hub has flushed."""
    member, told = world.resume(since, **options)  # type: ignore[arg-type]
    world.hub.flush()
    return member.got, told.words


def asked_of_routers(world: World) -> int:
    records = len(world.interest.records)
    world.tick()
    return len(world.interest.records) - records


# Who is given it -----------------------------------------------------------------------------------------------------


def test_who_comes_later_is_given_what_was_replayed_and_what_came_live_since(world):
    assert came(world, {0: 1}) == (["2", "3", "4", "5", "6"], ["begun", "replay 5"])
    assert came(world, {0: 4}) == (["5", "6"], ["begun", "replay 2"])
    assert came(world, {0: 6}) == ([], ["begun", "replay 0"])
    assert asked_of_routers(world) == 0


def test_who_was_given_it_is_live(world):
    member, _ = world.resume({0: 4})
    world.deliver(routed(7, BTC), routed(8, ETH), routed(9, BTC))
    assert member.got == ["5", "6", "7", "9"]
    assert member.catching_up == 0


def test_it_goes_on_when_nobody_is_in_the_room_but_who_catches_up(world):
    behind, told = world.resume({0: 0})
    world.tick()
    world.deliver(routed(7, BTC))
    assert came(world, {0: 5}) == (["6", "7"], ["begun", "replay 2"])
    world.answer(1, 2, 3, 4, 5, 6, 7, upto=8)
    assert (behind.got, told.words) == (["1", "2", "3", "4", "5", "6", "7"], ["begun", "replay 7"])


def test_what_reaches_further_back_takes_its_place(world):
    world.resume({0: 0})
    world.tick()
    world.answer(1, 2, 3, 4, 5, 6, upto=7)
    assert came(world, {0: 0})[0] == ["1", "2", "3", "4", "5", "6"]


def test_an_answer_that_came_twice_is_given_once():
    world = World()
    world.resume({0: 1})
    world.tick()
    world.activate(4)
    number = world.request()
    world.deliver(Began(BTC.id, number, Verdict.REPLAY, 0), replayed(2, (BTC, number)))
    world.tick(1)
    world.answer(2, 3, upto=4, request=number)
    assert came(world, {0: 1})[0] == ["2", "3"]


def test_a_private_update_is_given_to_its_user_alone():
    world = World()
    world.resume({0: 0}, user="alice")
    world.tick()
    world.activate(4)
    number = world.request()
    world.deliver(
        Began(BTC.id, number, Verdict.REPLAY, 0),
        replayed(1, (BTC, number)),
        replayed(2, (BTC, number), user="alice"),
        replayed(3, (BTC, number), user="bob"),
        Activated(BTC.id, 4, number),
        routed(4, BTC, user="bob"),
        routed(5, BTC, user="alice"),
    )
    assert came(world, {0: 0}, user="bob")[0] == ["1", "3", "4"]
    assert came(world, {0: 0}, user="alice")[0] == ["1", "2", "5"]
    assert came(world, {0: 0})[0] == ["1"]


def test_what_waits_for_the_room_is_not_sent_once_more(world):
    """It is asked for within a tick, of which nothing was written yet."""
    world.hub.deliver(delivery(routed(7, BTC)))
    assert came(world, {0: 5})[0] == ["6", "7"]


def test_much_of_it_is_written_in_parts():
    """So that what a connection does not take at once need not be joined, and waits as frames that others have as well."""
    world = World()
    bodies = [f"{offset}".encode().rjust(16_000) for offset in range(7)]
    world.resume({0: -1})
    world.tick()
    world.activate(7)
    number = world.request()
    items = [Replayed(offset, [(BTC.id, number)], body, 0) for offset, body in enumerate(bodies)]
    world.deliver(Began(BTC.id, number, Verdict.REPLAY, 0), *items, Activated(BTC.id, 7, number))
    member, told = world.resume({0: -1})
    world.hub.flush()
    assert [len(write) for write in member.writes if write] == [5, 2]
    assert (b"".join(member.joined).count(b" 6"), told.words) == (1, ["begun", "replay 7"])


def test_a_connection_that_cannot_take_it_gets_no_more_of_it(world):
    class Overflowing(RecordingMember):
        def flush(self, entities: Mapping[int, Entity]) -> None:
            world.hub.unregister(self, [BTC])

    member = Overflowing()
    told = world.again(member, {0: 1})
    assert (told.words, member.frames, member.rooms, member.catching_up) == (["begun"], [], 0, 0)


def test_a_connection_that_ends_at_the_first_word_is_nowhere(world):
    member, told = world.resume({0: 1}, closes_at="begun")
    world.deliver(routed(7, BTC))
    assert (told.words, member.got, member.rooms, member.catching_up) == (["begun"], [], 0, 0)


# Who is not ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "options"),
    [
        ({0: 0}, {}),
        ({}, {}),
        ({0: 7}, {}),
        ({0: 3}, {"stream": "0ther"}),
        (None, {}),
    ],
    ids=["lacks more", "names nothing", "is ahead of us", "of another stream", "asks for a snapshot"],
)
def test_who_asks_for_something_else_is_answered_by_routers(world, since, options):
    _, told = world.resume(since, **options)
    assert told.words == []
    assert asked_of_routers(world) == 1


def test_a_replay_from_the_start_hides_no_gap_of_a_cursor():
    """It begins with what is held: who had less than what was before that has to be told."""
    world = World()
    world.resume({})
    world.tick()
    world.activate(9)
    world.answer(6, 8, upto=9, oldest=5)
    assert came(world, {}) == (["6", "8"], ["begun", "replay 2"])
    assert came(world, {0: 4})[0] == ["6", "8"]
    world.resume({0: 3})
    assert asked_of_routers(world) == 1


@pytest.mark.parametrize("verdict", [Verdict.SNAPSHOT, Verdict.EXPIRED])
def test_what_is_not_all_that_follows_a_cursor_is_not_kept(verdict):
    world = World()
    world.live()
    world.deliver(*(routed(offset, BTC) for offset in range(6)))
    world.resume({0: 1}, snapshot=True)
    world.tick()
    world.answer(4, 5, upto=6, verdict=verdict, oldest=3)
    world.resume({0: 1}, snapshot=True)
    assert asked_of_routers(world) == 1


def test_after_a_takeover_routers_are_asked(world):
    world.hub.activation.written(BTC.id, 1, 0, 5)
    world.deliver(TookOver(7, {0: 99}), generation=2)
    world.resume({0: 1})
    assert asked_of_routers(world) == 1


def test_what_was_kept_of_a_topic_that_is_gone_is_given_to_nobody(world):
    world.deliver(Progress(7), generation=2, stream="n3w0")
    world.resume({0: 1})
    assert asked_of_routers(world) == 1


def test_a_room_that_was_given_up_meanwhile_is_asked_for():
    """What came while nobody was in it is not here."""
    world = World()
    first, _ = world.resume({0: 1})
    world.tick()
    world.activate(2)
    world.answer(upto=2)
    world.hub.leave(first, BTC)
    world.deliver(Progress(5))
    world.hub.join(RecordingMember(), (BTC,), done=lambda: None, failed=pytest.fail)
    world.activate(6)
    world.resume({0: 1})
    assert asked_of_routers(world) == 1


def test_while_the_room_recovers_routers_are_asked():
    world = World(partitions=2)
    world.resume({0: 1, 1: 1})
    world.tick()
    for partition in (0, 1):
        world.activate(2, partition=partition)
        world.answer(upto=2, partition=partition)
    assert came(world, {0: 1, 1: 1})[1] == ["begun", "replay 0"]
    world.deliver(TookOver(2, {}), generation=2, partition=1)
    world.resume({0: 1, 1: 1})
    assert asked_of_routers(world) == 1


def test_a_replay_whose_first_part_is_not_asked_for_again_is_not_kept():
    """Who had the least left before the answer, which was asked for once more for the others."""
    world = World()
    first, _ = world.resume({0: 1})
    world.resume({0: 4})
    world.tick()
    world.activate(6)
    world.hub.leave(first, BTC)
    world.tick(1)
    assert world.ask().since == {0: 4}
    world.answer(5, upto=6)
    world.resume({0: 1})
    assert asked_of_routers(world) == 1


# How much, how long --------------------------------------------------------------------------------------------------


def kept(recent: Recent, *rooms: object, frames: int) -> list[bool]:
    """Begin and go live with so many frames in each room; which of them are still there."""
    for room in rooms:
        begun = recent.begin(room, STREAM, {0: -1})  # type: ignore[arg-type]
        assert begun is not None
        for offset in range(frames):
            recent.replayed(begun, 0, offset, None, FRAME)
        recent.goes_live(begun, 1, now=0.0)
    return [recent.find(room.id) is not None for room in rooms]  # type: ignore[attr-defined]


def test_a_room_has_an_eighth_of_all_at_most():
    assert kept(Recent(8 * 2_100), BTC, frames=2) == [True]
    assert kept(Recent(8 * 2_100), BTC, frames=3) == [False]


def test_the_one_not_asked_for_longest_makes_room():
    recent = Recent(16 * 10_100)
    rooms = [tokens(f"{number}") for number in range(18)]
    kept(recent, *rooms[:16], frames=10)
    assert recent.size == 16 * 10_100
    found = recent.find(rooms[0].id)
    assert found is not None
    recent.used(found, now=1.0)
    kept(recent, *rooms[16:], frames=10)
    assert [number for number, room in enumerate(rooms) if recent.find(room.id) is None] == [1, 2]
    assert recent.size == 16 * 10_100


def test_rooms_of_which_nothing_came_count_as_well():
    recent = Recent(1_000)
    rooms = [tokens(f"{number}") for number in range(11)]
    assert kept(recent, *rooms, frames=0) == [False, *[True] * 10]


def test_what_comes_live_counts_as_well():
    recent = Recent(8 * 2_100)
    kept(recent, BTC, frames=1)
    recent.routed([BTC.id, ETH.id], 0, 1, None, FRAME)
    assert recent.size == 2_100
    recent.routed([BTC.id], 0, 2, None, FRAME)
    assert (recent.size, recent.find(BTC.id)) == (0, None)


def test_it_goes_when_nobody_has_asked_for_half_a_minute():
    recent = Recent(32_000)
    kept(recent, BTC, ETH, frames=1)
    found = recent.find(BTC.id)
    assert found is not None
    recent.used(found, now=10.0)
    recent.tick(30.0)
    assert (recent.find(ETH.id), recent.find(BTC.id), recent.size) == (None, found, 1_100)
    recent.tick(40.0)
    assert (recent.find(BTC.id), recent.size, list(recent.rooms)) == (None, 0, [])


def test_nothing_is_kept_where_nothing_may_be():
    assert Recent(0).begin(BTC, STREAM, {0: -1}) is None


def test_a_replay_that_nobody_waits_for_leaves_nothing():
    world = World()
    member, _ = world.resume({0: 1})
    world.tick()
    number = world.request()
    world.deliver(Began(BTC.id, number, Verdict.REPLAY, 0), replayed(2, (BTC, number)))
    assert world.recent.size > 0
    world.hub.leave(member, BTC)
    assert world.recent.size == 0
