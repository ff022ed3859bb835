"""The session from tables: last values, one room wanted twice, and rooms that may select the same update while one replays."""

from typing import Any

from clients.python.tests.session_talk import (
    EVERYTHING,
    come_back,
    confirm,
    delivered,
    end_past,
    hear,
    publish,
    ready_session,
    sent,
    subscribed,
)
from defistream.cursors import Cursor, parse_cursor
from defistream.effects import Finish, Hold
from defistream.errors import CursorExpired
from defistream.filters import make_filters
from defistream.session import Session


def interrupted(*, selections: dict[int, dict[str, Any]]) -> Session:
    """Subscriptions that have had up to 0:100, and lost their connection."""
    session = ready_session(resume=True)
    for number, filters in selections.items():
        subscribed(session, number, room=f"prices:r{number}", **filters)
    session.disconnected(1006, "")
    return session


class TestSnapshot:
    def test_it_is_asked_for_until_it_was_complete_and_then_comes_only_in_place_of_an_expired_cursor(self):
        session = ready_session(resume=True)
        first = session.subscribe(1, "prices", EVERYTHING, snapshot=True)
        confirm(session, cursor="k3f9.")
        assert delivered(publish(session, 50)) == [(1, "0:50")]
        session.disconnected(1006, "")
        again = come_back(session)
        confirm(session, 2, cursor="k3f9.")
        assert publish(session, 50) == (), "had before the interruption"
        end_past(session, 2, "k3f9.0:100", type="snapshot_end")
        session.disconnected(1006, "")
        asked = [sent(effects)[0] for effects in (first, again, come_back(session))]
        assert [(one.get("since"), one["snapshot"]) for one in asked] == [
            (None, True),
            (None, True),
            ("k3f9.0:100", True),
        ]

    def test_last_values_of_another_stream_are_not_taken_for_what_was_had(self):
        session = ready_session(resume=True)
        session.subscribe(1, "prices", EVERYTHING, parse_cursor("gone.0:500"), snapshot=True)
        confirm(session, cursor="k3f9.")
        assert delivered(publish(session, 50)) == [(1, "0:50")]


class TestOneRoom:
    def test_all_of_it_ask_together_from_the_least_that_they_had(self):
        session = interrupted(selections={1: {}, 2: {}})
        session.subscribe(3, "prices", EVERYTHING, parse_cursor("k3f9.0:70"))
        asked = sent(come_back(session))
        assert [one["since"] for one in asked] == ["k3f9.0:70"]
        confirm(session, asked[0]["id"])
        assert delivered(publish(session, 80)) == [(3, "0:80")]
        assert delivered(publish(session, 101)) == [(1, "0:101"), (2, "0:101"), (3, "0:101")]

    def test_one_that_is_live_goes_on_from_its_cursor_once_another_has_last_values(self):
        session = ready_session(resume=True)
        subscribed(session, 1)
        assert sent(session.subscribe(2, "prices", EVERYTHING, snapshot=True))[0]["snapshot"] is True
        confirm(session, 2, cursor="k3f9.")
        assert delivered(publish(session, 60)) == [(2, "0:60")]
        again = sent(end_past(session, 2, "k3f9.0:120", type="snapshot_end"))
        assert [(one["since"], "snapshot" in one) for one in again] == [("k3f9.0:100", False)]
        confirm(session, 3)
        assert delivered(publish(session, 110)) == [(1, "0:110")]
        assert delivered(publish(session, 121)) == [(1, "0:121"), (2, "0:121")]

    def test_one_whose_cursor_has_expired_ends_alone(self):
        session = ready_session(resume=True)
        subscribed(session, 1)
        session.subscribe(2, "prices", EVERYTHING, parse_cursor("k3f9.0:1"), snapshot=True)
        refused = hear(session, type="error", id=2, code="cursor_expired", oldest="k3f9.0:90")
        assert [effect.subscription for effect in refused if isinstance(effect, Finish)] == [1]
        assert [(one["since"], one["snapshot"]) for one in sent(refused)] == [("k3f9.0:1", True)]


class TestOverlapping:
    def test_one_replays_at_a_time(self):
        session = interrupted(selections={1: {"token_ids": ["a"]}, 2: {"min_value": 5}})
        (first,) = sent(come_back(session))
        assert not session.is_in_turn(2)
        confirm(session, first["id"])
        (second,) = sent(end_past(session, first["id"], "k3f9.0:120"))
        assert (first["filters"], second["filters"]) == ({"tokenIds": ["a"]}, {"minValue": 5})

    def test_those_that_cannot_select_the_same_update_replay_at_once(self):
        selections: dict[int, dict[str, Any]] = {
            1: {"token_ids": ["a"]},
            2: {"token_ids": ["b"]},
            3: {"token_ids": ["c"], "max_value": 4},
        }
        assert len(sent(come_back(interrupted(selections=selections)))) == 3

    def test_a_live_update_of_another_room_waits_for_its_place_in_the_replay(self):
        session = self.replaying_beside_a_live_one()
        assert delivered(publish(session, 130, tokenId="a", value=9)) == [(1, "0:130")]
        assert delivered(publish(session, 110, tokenId="b", value=9)) == [(2, "0:110")]
        assert delivered(publish(session, 130, tokenId="a", value=9)) == [(2, "0:130")]

    def test_one_that_the_replay_does_not_bring_again_comes_before_what_follows_it(self):
        session = self.replaying_beside_a_live_one()
        publish(session, 130, tokenId="a", value=9)
        assert delivered(publish(session, 140, tokenId="b", value=9)) == [(2, "0:130"), (2, "0:140")]

    def test_or_with_the_end_of_the_replay(self):
        session = self.replaying_beside_a_live_one()
        publish(session, 130, tokenId="a", value=9)
        assert delivered(end_past(session, 4, "k3f9.0:130")) == [(2, "0:130")]

    def test_what_a_slow_connection_was_spared_does_not_come_back_with_anothers_replay(self):
        session = self.replaying_beside_a_live_one()
        hear(session, type="conflated", channel="prices", n=1, **{"from": "0:125", "to": "0:125"})
        publish(session, 130, tokenId="a", value=9)
        assert delivered(publish(session, 125, tokenId="a", value=9)) == [(2, "0:125")]

    def test_one_that_is_refused_for_now_holds_nobody_up(self):
        session = interrupted(selections={1: {"token_ids": ["a"]}, 2: {"min_value": 5}})
        come_back(session)
        effects = hear(session, type="error", id=3, code="unavailable", retryable=True)
        assert [type(effect) for effect in effects if isinstance(effect, Hold)] == [Hold]
        assert [one["filters"] for one in sent(effects)] == [{"minValue": 5}]

    def test_a_replay_that_cannot_go_on_is_refused_late(self):
        session = interrupted(selections={1: {}})
        (asked,) = sent(come_back(session))
        confirm(session, asked["id"])
        (finish,) = hear(session, type="error", id=asked["id"], code="cursor_expired", oldest="k3f9.0:90")
        assert isinstance(finish, Finish)
        assert isinstance(finish.error, CursorExpired)

    def test_one_that_leaves_lets_the_next_replay(self):
        session = interrupted(selections={1: {"token_ids": ["a"]}, 2: {"min_value": 5}})
        (asked,) = sent(come_back(session))
        confirm(session, asked["id"])
        assert [one["type"] for one in sent(session.unsubscribe(1))] == ["unsubscribe", "subscribe"]

    @staticmethod
    def replaying_beside_a_live_one() -> Session:
        session = interrupted(selections={1: {"token_ids": ["a"]}, 2: {"min_value": 5}})
        come_back(session)
        confirm(session, 3)
        end_past(session, 3, "k3f9.0:120")
        confirm(session, 4, room="prices:r2")
        return session


def test_the_least_of_two_cursors_names_what_both_name():
    least = parse_cursor("k3f9.0:9,1:4,2:7").least(parse_cursor("k3f9.0:5,1:6,3:1"))
    assert least == Cursor("k3f9", {0: 5, 1: 4})


def test_filters_may_overlap_unless_an_attribute_sets_them_apart():
    low, high = make_filters(max_value=4), make_filters(min_value=5)
    assert not low.may_overlap(high)
    assert not high.may_overlap(low)
    assert not make_filters(user_id="u").may_overlap(make_filters(user_id="v"))
    assert not make_filters(protocol_ids=["p"]).may_overlap(make_filters(protocol_ids=["q", "r"]))
    assert make_filters(token_ids=["a", "b"]).may_overlap(make_filters(token_ids=["b", "c"]))
    assert make_filters(chains=["base"]).may_overlap(make_filters(chains=["ethereum"])), "an update may have several"
    assert low.may_overlap(make_filters(token_ids=["a"]))
