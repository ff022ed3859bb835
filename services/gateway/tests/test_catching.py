"""Connections that catch up: what they missed, once, in order, and then the live stream without a gap."""

from __future__ import annotations

import orjson
import pytest

from common.deliveries import Activated, Began, OperatorMessage, Progress, TookOver, Verdict
from services.gateway.tests.catching import BTC, ETH, World, replayed
from services.gateway.tests.roles import STREAM, Ask, RecordingMember, routed


@pytest.fixture
def world():
    return World()


# Asking --------------------------------------------------------------------------------------------------------------


def test_those_who_come_together_are_one_record_with_the_least_that_any_had(world):
    for had in (7, 3, 5):
        world.resume({0: had})
    plain = world.interest.requests(BTC)
    world.tick()
    assert world.interest.requests(BTC) == plain + 1
    assert world.ask() == Ask({0: 3}, STREAM, False)


def test_who_comes_before_the_answer_shares_it(world):
    first, _told = world.resume({0: 3})
    world.tick()
    world.activate(9)
    request = world.request()
    later, told = world.resume({0: 5})
    world.tick()
    assert world.request() == request
    world.answer(4, 6, upto=9, request=request)
    assert (first.got, later.got) == (["4", "6"], ["6"])
    assert told.words == ["begun", "replay 1"]


@pytest.mark.parametrize(
    ("had", "begun", "after"),
    [(2, False, 0.1), (3, True, 0.1), (3, False, 15.0)],
    ids=["lacks more", "after the first answer", "long after the ask"],
)
def test_who_cannot_share_an_answer_asks_for_itself(had, begun, after):
    world = World(partitions=2)
    world.resume({0: 3, 1: 3})
    world.tick()
    request = world.request()
    if begun:
        world.deliver(Began(BTC.id, request, Verdict.REPLAY, 0))
    world.clock.advance(after)
    world.resume({0: had, 1: 3})
    world.tick()
    assert world.request() != request
    assert world.ask().since == {0: had, 1: 3}


def test_a_record_that_nobody_waits_for_any_more_is_shared_by_nobody(world):
    member, _told = world.resume({0: 3})
    world.tick()
    request = world.request()
    world.hub.unregister(member, [BTC])
    world.resume({0: 3})
    world.tick()
    assert world.request() != request


def test_a_partition_that_a_cursor_does_not_name_is_asked_for_from_its_start():
    world = World(partitions=2)
    world.resume({1: 4})
    world.tick()
    assert world.ask().since == {0: -1, 1: 4}


def test_cursors_of_different_streams_and_snapshots_are_asked_for_apart(world):
    world.resume({0: 1})
    world.resume({0: 1}, stream="other")
    world.resume({0: 1}, snapshot=True)
    world.resume(None)
    world.tick()
    asked = [world.interest.asks[request] for _room, request in world.interest.records[1:] if request]
    assert sorted(asked, key=str) == sorted(
        [
            Ask({0: 1}, STREAM, False),
            Ask({0: 1}, "other", False),
            Ask({0: 1}, STREAM, True),
            Ask(None, None, True),
        ],
        key=str,
    )


def test_what_is_not_answered_is_asked_again_under_the_same_number_for_what_is_missing(world):
    world.resume({0: 3})
    world.tick()
    request = world.request()
    world.activate(9)
    world.deliver(Began(BTC.id, request, Verdict.REPLAY, 0), replayed(4, (BTC, request)))
    world.tick(1)
    assert world.request() == request
    assert world.ask().since == {0: 4}


def test_no_answer_at_all_fails_once_and_leaves_nothing(world):
    member, told = world.resume({0: 3})
    world.tick()
    world.tick(30)
    world.tick(30)
    assert told.words == ["failed"]
    assert (member.catching_up, world.interest.wanted, list(world.hub.catching_up.rooms)) == (0, set(), [])


# Answers -------------------------------------------------------------------------------------------------------------


def test_each_gets_what_it_missed_and_then_what_is_live_once_and_in_order(world):
    live = world.live()
    world.deliver(*(routed(offset, BTC) for offset in range(6)))
    (late, told), (later, _) = world.resume({0: 1}), world.resume({0: 3})
    world.tick()
    world.deliver(routed(6, BTC))
    world.answer(2, 3, 4, 5, 6, upto=7)
    world.deliver(routed(7, BTC))
    assert late.got == ["2", "3", "4", "5", "6", "7"]
    assert later.got == ["4", "5", "6", "7"]
    assert told.words == ["begun", "replay 5"]
    assert live.got == [str(offset) for offset in range(8)]


def test_an_update_that_answers_two_rooms_of_a_connection_is_sent_once(world):
    member, _ = world.resume({0: 1})
    world.again(member, {0: 1}, ETH)
    world.tick()
    world.activate(3)
    world.activate(3, ETH)
    one, other = world.request(BTC), world.request(ETH)
    world.deliver(
        Began(BTC.id, one, Verdict.REPLAY, 0),
        Began(ETH.id, other, Verdict.REPLAY, 0),
        replayed(2, (BTC, one), (ETH, other)),
        Activated(BTC.id, 3, one),
        Activated(ETH.id, 3, other),
    )
    assert member.got == ["2"]


def test_private_updates_are_replayed_to_their_user_alone(world):
    (alice, _), (bob, _) = world.resume({0: 0}, user="alice"), world.resume({0: 0}, user="bob")
    world.tick()
    world.activate(3)
    request = world.request()
    world.deliver(
        Began(BTC.id, request, Verdict.REPLAY, 0),
        replayed(1, (BTC, request), user="alice"),
        replayed(2, (BTC, request)),
        Activated(BTC.id, 3, request),
        routed(3, BTC, user="bob"),
    )
    assert (alice.got, bob.got) == (["1", "2"], ["2", "3"])


def test_an_answer_that_comes_twice_is_sent_once(world):
    member, told = world.resume({0: 0})
    world.tick()
    world.activate(3)
    request = world.request()
    world.deliver(Began(BTC.id, request, Verdict.REPLAY, 0), replayed(1, (BTC, request)))
    world.answer(1, 2, upto=3)
    world.answer(1, 2, upto=3, request=request)
    assert (member.got, told.words) == (["1", "2"], ["begun", "replay 2"])


def test_what_is_live_comes_partition_by_partition():
    world = World(partitions=2)
    member, told = world.resume({0: 1, 1: 1})
    world.tick()
    for partition in (0, 1):
        world.activate(3, partition=partition)
    world.answer(2, upto=3)
    world.deliver(routed(3, BTC))
    world.deliver(routed(9, BTC), partition=1)
    assert (member.got, told.words) == (["2", "3"], ["begun"])
    world.answer(2, 9, upto=10, partition=1)
    assert (member.got, told.words) == (["2", "3", "2", "9"], ["begun", "replay 3"])


def test_a_snapshot_is_the_last_values_and_then_the_live_stream(world):
    member, told = world.resume(None)
    world.tick()
    world.activate(8)
    world.answer(2, 5, upto=8, verdict=Verdict.SNAPSHOT)
    world.deliver(routed(8, BTC))
    assert (member.got, told.words) == (["2", "5", "8"], ["begun", "snapshot 2"])


def test_a_snapshot_in_place_of_an_expired_cursor_has_every_last_value_once(world):
    member, told = world.resume({0: 900}, snapshot=True, stream="old")
    world.tick()
    world.activate(8)
    request = world.request()
    world.deliver(Began(BTC.id, request, Verdict.SNAPSHOT, 0), replayed(2, (BTC, request)))
    world.answer(2, 5, upto=8, verdict=Verdict.SNAPSHOT)
    assert (member.got, told.words) == (["2", "5"], ["begun", "snapshot 2"])


# Refusals ------------------------------------------------------------------------------------------------------------


def test_a_cursor_that_is_no_longer_held_is_told_the_oldest_that_is(world):
    member, told = world.resume({0: 3})
    world.tick()
    world.activate(90)
    world.answer(upto=90, verdict=Verdict.EXPIRED, oldest=50)
    assert told.words == [f"expired {STREAM}.0:49"]
    assert (member.catching_up, world.interest.wanted) == (0, set())


def test_a_partition_that_refused_is_not_passed_over_when_the_others_are_slow_to_answer():
    world = World(partitions=2)
    _member, told = world.resume({0: 3, 1: 3})
    world.tick()
    for partition in (0, 1):
        world.activate(90, partition=partition)
    request = world.request()
    world.answer(upto=90, request=request, verdict=Verdict.EXPIRED, oldest=50)
    world.tick(1.0)
    assert world.ask().since == {0: 3, 1: 3}
    world.answer(88, upto=90, request=request, partition=1)
    assert told.words == ["begun", f"expired {STREAM}.0:49"]


def test_a_cursor_ahead_of_the_stream_is_refused(world):
    _member, told = world.resume({0: 99})
    world.tick()
    world.activate(9)
    world.answer(upto=9, verdict=Verdict.FUTURE)
    assert told.words == ["refused"]


def test_who_had_more_at_another_gateway_than_came_here_gets_none_of_it_again(world):
    """The partition's new owner has been told of what it begins with, and has not come as far."""
    live = world.live()
    world.deliver(*(routed(offset, BTC) for offset in range(3)))
    (ahead, told), (behind, other) = world.resume({0: 4}), world.resume({0: 1})
    world.tick()
    world.answer(2, upto=3)
    assert (told.words, other.words) == (["begun"], ["begun", "replay 1"])
    world.deliver(routed(3, BTC), routed(4, BTC))
    assert told.words == ["begun", "replay 0"]
    world.deliver(routed(5, BTC))
    assert (ahead.got, behind.got) == (["5"], ["2", "3", "4", "5"])
    assert live.got == ["0", "1", "2", "3", "4", "5"]


def test_a_cursor_ahead_of_the_stream_is_refused_also_where_others_ask_for_less(world):
    world.live()
    world.deliver(*(routed(offset, BTC) for offset in range(3)))
    (_, told), (_, other) = world.resume({0: 99}), world.resume({0: 1})
    world.tick()
    world.answer(2, upto=3)
    world.tick(1)
    assert (world.ask().since, told.words, other.words) == ({0: 99}, ["begun"], ["begun", "replay 1"])
    world.answer(upto=3, verdict=Verdict.FUTURE)
    assert told.words == ["begun", "refused"]


def test_an_expired_cursor_takes_nobody_elses_replay(world):
    (_, old), (member, fresh) = world.resume({0: 3}), world.resume({0: 87})
    world.tick()
    world.activate(90)
    world.answer(upto=90, verdict=Verdict.EXPIRED, oldest=50)
    world.tick()
    assert world.ask().since == {0: 87}
    world.answer(88, 89, upto=90, oldest=50)
    assert old.words == [f"expired {STREAM}.0:49"]
    assert (member.got, fresh.words) == (["88", "89"], ["begun", "replay 2"])


def test_a_cursor_from_the_start_hides_no_gap_of_another(world):
    (first, whole), (_, old) = world.resume({}), world.resume({0: 3})
    world.tick()
    world.activate(52)
    world.answer(50, 51, upto=52, oldest=50)
    world.tick()
    assert world.ask().since == {0: 3}
    world.answer(upto=52, verdict=Verdict.EXPIRED, oldest=50)
    assert (first.got, whole.words) == (["50", "51"], ["begun", "replay 2"])
    assert old.words == [f"expired {STREAM}.0:49"]


def test_who_needs_no_snapshot_gets_its_replay(world):
    (late, expired), (fresh, told) = world.resume({0: 3}, snapshot=True), world.resume({0: 88}, snapshot=True)
    world.tick()
    world.activate(90)
    world.answer(20, 89, upto=90, verdict=Verdict.SNAPSHOT, oldest=50)
    world.tick()
    world.answer(89, upto=90, oldest=50)
    assert (late.got, expired.words) == (["20", "89"], ["begun", "snapshot 2"])
    assert (fresh.got, told.words) == (["89"], ["begun", "replay 1"])


# Leaving -------------------------------------------------------------------------------------------------------------


def test_who_leaves_while_it_catches_up_gets_nothing_more(world):
    (leaver, told), (stays, _) = world.resume({0: 0}), world.resume({0: 0})
    world.tick()
    world.activate(3)
    world.hub.leave(leaver, BTC)
    world.answer(1, 2, upto=3)
    assert (leaver.got, told.words, leaver.catching_up) == ([], [], 0)
    assert stays.got == ["1", "2"]


@pytest.mark.parametrize("word", ["begun", "replay"])
def test_a_connection_that_ends_at_what_it_is_told_is_nowhere(world, word):
    member, told = world.resume({0: 0})
    told.closes_at = word
    world.tick()
    world.activate(2)
    world.answer(1, upto=2)
    world.deliver(routed(2, BTC))
    assert "2" not in member.got
    assert (world.interest.wanted, world.hub.rooms, member.catching_up) == (set(), 0, 0)


def test_an_end_at_a_failure_leaves_the_other_failures_to_be_told(world):
    member, told = world.resume({0: 0})
    other = world.again(member, {0: 0}, ETH)
    told.closes_at = "failed"
    told._room = ETH
    world.tick()
    world.tick(30)
    assert (told.words, other.words, world.interest.wanted) == (["failed"], [], set())


def test_a_member_that_asks_for_a_replay_of_its_room_gets_it_and_stays(world):
    member = world.live()
    world.deliver(routed(0, BTC), routed(1, BTC))
    world.again(member, {0: 0})
    world.tick()
    world.activate(2)
    world.answer(1, upto=2)
    world.deliver(routed(2, BTC))
    assert member.got == ["0", "1", "1", "2"]


def test_a_message_to_a_channel_reaches_who_catches_up_in_it(world):
    member, _ = world.resume({0: 0})
    world.deliver(OperatorMessage(0, b"hello", "prices"), channel="system")
    assert member.got == ["hello"]


# Takeovers -----------------------------------------------------------------------------------------------------------


def test_repeats_reach_only_those_who_have_not_had_them(world):
    live = world.live()
    world.hub.activation.written(BTC.id, world.request(), 0, 5)
    world.deliver(*(routed(offset, BTC) for offset in range(4)))
    late, told = world.resume({0: 0})
    world.tick()
    world.deliver(TookOver(1, {0: 99}), generation=2)
    world.answer(upto=1, generation=2)
    assert told.words == ["begun"]
    world.deliver(*(routed(offset, BTC) for offset in range(1, 4)), generation=2)
    assert told.words == ["begun", "replay 0"]
    assert (live.got, late.got) == (["0", "1", "2", "3"], ["1", "2", "3"])


def test_a_recovering_rooms_members_get_what_they_missed_and_then_what_is_live(world):
    member = world.live()
    world.deliver(routed(0, BTC), routed(1, BTC))
    world.deliver(TookOver(2, {}), Progress(3), generation=2)
    assert world.ask() == Ask({0: 1}, STREAM, False)
    world.answer(2, 3, upto=4, generation=2)
    world.deliver(routed(4, BTC), generation=2)
    assert member.got == ["0", "1", "2", "3", "4"]


def test_who_is_behind_when_its_room_recovers_asks_for_what_it_lacks(world):
    live = world.live()
    world.hub.activation.written(BTC.id, world.request(), 0, 5)
    world.deliver(*(routed(offset, BTC) for offset in range(6)))
    late, told = world.resume({0: 0})
    world.tick()
    request = world.request()
    world.deliver(TookOver(1, {0: 99}), generation=2)
    world.answer(upto=1, generation=2)
    world.deliver(routed(1, BTC), generation=2)
    world.deliver(TookOver(2, {}), generation=3)
    recovery = world.request()
    world.deliver(*(Progress(offset) for offset in range(2, 6)), generation=3)
    world.answer(upto=6, request=recovery, generation=3)
    assert told.words == ["begun"]
    world.tick(1)
    assert world.interest.asks[request].since == {0: 1}
    world.answer(2, 3, 4, 5, upto=6, request=request, generation=3)
    assert (late.got, told.words) == (["1", "2", "3", "4", "5"], ["begun", "replay 4"])
    assert live.got == [str(offset) for offset in range(6)]


# Losses ---------------------------------------------------------------------------------------------------------------


def lost(member: RecordingMember) -> list[str]:
    """What a member was told of updates that are gone: the cursors from which it goes on."""
    notices = [
        orjson.loads(frame[frame.index(b"{") :])
        for write in member.writes
        for frame in write
        if b'"updates_lost"' in frame
    ]
    assert all(each["type"] == "notice" and each["room"] == BTC.id for each in notices)
    return [each["oldest"] for each in notices]


def test_a_recovery_that_retention_overtakes_is_told_and_brings_what_is_still_held(world):
    member = world.live()
    world.deliver(routed(0, BTC), routed(1, BTC))
    world.deliver(TookOver(2, {}), Progress(7), generation=2)
    asked = world.request()
    world.deliver(Began(BTC.id, asked, Verdict.EXPIRED, 5), Activated(BTC.id, 8, asked), generation=2)
    assert lost(member) == [f"{STREAM}.0:4"]
    assert world.ask() == Ask({0: 4}, STREAM, False)
    world.answer(5, 6, 7, upto=8, generation=2)
    world.deliver(routed(8, BTC), generation=2)
    assert [got for got in member.got if got.isdigit()] == ["0", "1", "5", "6", "7", "8"]
    assert lost(member) == [f"{STREAM}.0:4"]


def test_who_is_in_other_rooms_hears_nothing_of_a_recovery_that_failed(world):
    member, other = world.live(), world.live(ETH)
    world.hub.activation.written(ETH.id, world.request(ETH), 0, 5)
    world.deliver(routed(0, BTC, ETH))
    world.deliver(TookOver(2, {0: 6}), generation=2)
    asked = world.request()
    world.deliver(Began(BTC.id, asked, Verdict.EXPIRED, 5), Activated(BTC.id, 8, asked), generation=2)
    assert (len(lost(member)), len(lost(other))) == (1, 0)


def test_a_recovery_that_is_served_is_no_loss(world):
    member = world.live()
    world.deliver(TookOver(2, {}), generation=2)
    world.answer(0, 1, upto=2, generation=2)
    assert lost(member) == []


def test_what_was_deleted_before_anybody_had_routed_it_is_told_to_everybody_in_the_channel(world):
    member = world.live()
    world.hub.activation.written(BTC.id, world.request(), 0, 5)
    world.deliver(routed(0, BTC))
    late, _ = world.resume({0: 0})
    world.deliver(TookOver(40, {0: 6}, lost=True), generation=2)
    assert (lost(member), lost(late)) == ([f"{STREAM}.0:39"], [f"{STREAM}.0:39"])


def test_a_stream_made_anew_is_told_before_its_first_update(world):
    member = world.live()
    world.hub.activation.written(BTC.id, world.request(), 0, 5)
    world.deliver(*(routed(offset, BTC) for offset in range(3)))
    world.deliver(TookOver(0, {0: 6}), routed(0, BTC), generation=2, stream="n3w0")
    assert lost(member) == ["n3w0."]
    assert member.got[-1] == "0"
    world.deliver(routed(1, BTC), generation=2, stream="n3w0")
    assert len(lost(member)) == 1
