"""The session from tables: subscriptions, and whose an update is."""

import pytest

from clients.python.tests.session_talk import (
    EVERYTHING,
    come_back,
    confirm,
    delivered,
    end_past,
    hear,
    make_session,
    places,
    publish,
    ready_session,
    sent,
    subscribed,
)
from defistream import events
from defistream.cursors import Cursor, parse_cursor
from defistream.effects import Announce, Begin, Deliver, Finish, Hold, Stop, Tell
from defistream.errors import CursorExpired, SubscriptionRefused
from defistream.filters import make_filters
from defistream.updates import Update


class TestSubscribing:
    def test_it_asks_at_once_when_connected(self):
        effects = ready_session().subscribe(1, "prices", make_filters(token_ids=["a"], min_value=2))
        assert sent(effects) == [
            {"type": "subscribe", "id": 1, "channel": "prices", "filters": {"tokenIds": ["a"], "minValue": 2}}
        ]

    def test_it_asks_as_soon_as_there_is_a_connection(self):
        session = make_session()
        assert session.subscribe(1, "prices", EVERYTHING) == ()
        assert sent(come_back(session)) == [{"type": "subscribe", "id": 1, "channel": "prices"}]

    def test_a_confirmation_begins_it_at_the_cursor(self):
        session = ready_session()
        session.subscribe(7, "prices", EVERYTHING)
        assert confirm(session) == (
            Begin(7, "prices:r1"),
            Announce(events.Subscribed("prices", "prices:r1", {}, "k3f9.0:100")),
            Tell(7, Cursor("k3f9", {0: 100})),
        )

    def test_a_confirmation_of_nothing_that_was_asked_is_ignored(self):
        assert confirm(ready_session()) == ()

    def test_a_server_that_knows_no_epoch_yet_confirms_too(self):
        session = ready_session()
        session.subscribe(7, "prices", EVERYTHING)
        assert Begin(7, "prices:r1") in confirm(session, cursor=".")
        assert delivered(publish(session, 1)) == [(7, "0:1")]

    def test_a_refusal_ends_it_with_the_field(self):
        session = ready_session()
        session.subscribe(7, "prices", EVERYTHING)
        (finish,) = hear(session, type="error", id=1, code="permission_denied", message="not yours", field="channel")
        assert isinstance(finish, Finish)
        assert isinstance(finish.error, SubscriptionRefused)
        assert (finish.error.code, finish.error.field) == ("permission_denied", "channel")
        assert sent(come_back(session)) == [], "it is not asked for again"

    def test_an_expired_cursor_tells_the_oldest(self):
        session = ready_session(resume=True)
        session.subscribe(7, "prices", EVERYTHING, parse_cursor("k3f9.0:1"))
        (finish,) = hear(
            session, type="error", id=1, code="cursor_expired", message="m", field="since", oldest="k3f9.0:50"
        )
        assert isinstance(finish, Finish)
        assert isinstance(finish.error, CursorExpired)
        assert finish.error.oldest == "k3f9.0:50"

    def test_what_is_refused_for_now_is_asked_for_again_with_growing_waits(self):
        session = ready_session()
        session.subscribe(7, "prices", EVERYTHING)
        for command in range(1, 9):
            effects = hear(session, type="error", id=command, code="unavailable", retryable=True, retryAfterMs=500)
            hold = effects[-1]
            assert isinstance(hold, Hold)
            assert 0.5 <= hold.after <= 0.5 + 0.5 * 2 ** (command - 1)
            assert sent(session.retry(7))[0]["id"] == command + 1

    def test_a_hold_that_ends_after_the_connection_did_asks_nothing(self):
        session = ready_session()
        session.subscribe(7, "prices", EVERYTHING)
        hear(session, type="error", id=1, code="unavailable", retryable=True)
        session.disconnected(1006, "")
        assert session.retry(7) == ()

    def test_without_reconnect_nothing_is_held(self):
        session = ready_session(reconnect=False)
        session.subscribe(7, "prices", EVERYTHING)
        assert isinstance(hear(session, type="error", id=1, code="unavailable", retryable=True)[-1], Finish)

    def test_a_complaint_about_nothing_in_particular_is_announced(self):
        effects = hear(ready_session(), type="error", code="rate_limited", message="slow down")
        assert effects == (Announce(events.Complaint("rate_limited", "slow down")),)

    def test_all_end_with_the_client(self):
        session = ready_session()
        subscribed(session, 1)
        session.subscribe(2, "tvl", EVERYTHING)
        effects = session.disconnected(4503, "revoked")
        assert [type(effect) for effect in effects] == [Finish, Finish, Stop]


class TestUpdates:
    def test_one_subscription_gets_all_of_its_channel_and_moves_on(self):
        session = ready_session()
        subscribed(session, 1, token_ids=["a"])
        effects = publish(session, 101, tokenId="whatever the server says")
        assert effects == (Deliver(1, Update("prices", "0:101", {}), (0, 101)),)

    def test_repeats_are_dropped(self):
        session = ready_session()
        subscribed(session, 1)
        publish(session, 101)
        assert publish(session, 101) == ()
        assert publish(session, 100) == (), "the cursor of the confirmation has it"

    def test_updates_of_other_channels_are_nobodys(self):
        session = ready_session()
        subscribed(session, 1)
        assert hear(session, type="tvl_update", channel="tvl", id="0:101") == ()

    def test_ids_of_another_form_are_delivered(self):
        session = ready_session()
        subscribed(session, 1)
        assert delivered(hear(session, type="price_update", channel="prices", id="x")) == [(1, "x")]

    def test_two_subscriptions_get_what_matches_them_and_move_on_by_heartbeats_only(self):
        session = ready_session()
        subscribed(session, 1, token_ids=["a"])
        subscribed(session, 2, room="prices:r2", min_value=5)
        assert delivered(publish(session, 101, tokenId="a", value=1)) == [(1, "0:101")]
        assert delivered(publish(session, 102, tokenId="a", value=7)) == [(1, "0:102"), (2, "0:102")]
        assert delivered(publish(session, 103, tokenId="b", value=1)) == []
        assert places(publish(session, 104, tokenId="a", value=7)) == [None, None]
        cursor = Cursor("k3f9", {0: 104})
        heard = hear(session, type="heartbeat", cursors={"prices": "k3f9.0:104", "tvl": "t1.0:1"})
        assert heard == (Tell(1, cursor), Tell(2, cursor))

    def test_an_older_update_of_one_after_a_newer_one_of_the_other_is_delivered(self):
        session = ready_session()
        subscribed(session, 1, token_ids=["a"])
        subscribed(session, 2, room="prices:r2", token_ids=["a", "b"])
        publish(session, 120, tokenId="a")
        assert delivered(publish(session, 110, tokenId="a")) == [(1, "0:110"), (2, "0:110")]

    def test_updates_before_the_confirmation_are_another_rooms(self):
        session = ready_session()
        subscribed(session, 1, token_ids=["a"])
        session.subscribe(2, "prices", EVERYTHING)
        assert delivered(publish(session, 101, tokenId="a")) == [(1, "0:101")]
        confirm(session, 2, room="prices:r2", cursor="k3f9.0:101")
        assert delivered(publish(session, 102, tokenId="a")) == [(1, "0:102"), (2, "0:102")]


class TestLeaving:
    def test_it_unsubscribes_from_the_room(self):
        session = ready_session()
        subscribed(session, 1)
        assert sent(session.unsubscribe(1)) == [{"type": "unsubscribe", "id": 2, "room": "prices:r1"}]
        assert session.unsubscribe(1) == ()
        assert publish(session, 101) == ()

    def test_a_room_that_another_wants_stays(self):
        session = ready_session()
        subscribed(session, 1, token_ids=["a", "B"])
        session.subscribe(2, "prices", make_filters(token_ids=["B", "a"]))
        assert session.unsubscribe(1) == ()
        confirm(session, 2)
        assert len(sent(session.unsubscribe(2))) == 1

    def test_one_left_before_its_answer_is_unsubscribed_with_it(self):
        session = ready_session()
        session.subscribe(1, "prices", EVERYTHING)
        assert session.unsubscribe(1) == ()
        assert sent(confirm(session)) == [{"type": "unsubscribe", "id": 2, "room": "prices:r1"}]

    def test_one_left_before_its_refusal_is_forgotten(self):
        session = ready_session()
        session.subscribe(1, "prices", EVERYTHING)
        session.unsubscribe(1)
        assert hear(session, type="error", id=1, code="unavailable", retryable=True) == ()

    def test_until_the_server_has_let_go_of_a_room_its_updates_are_not_taken_for_anothers(self):
        session = ready_session()
        subscribed(session, 1, token_ids=["a"])
        subscribed(session, 2, room="prices:r2", token_ids=["b"])
        session.unsubscribe(2)
        assert delivered(publish(session, 101, tokenId="b")) == []
        hear(session, type="unsubscribed", id=3, room="prices:r2")
        assert places(publish(session, 102, tokenId="a")) == [(0, 102)]

    def test_offline_nothing_is_sent(self):
        session = ready_session()
        subscribed(session, 1)
        session.disconnected(1006, "")
        assert session.unsubscribe(1) == ()
        assert sent(come_back(session)) == []


class TestComingBack:
    def test_every_subscription_is_asked_for_again(self):
        session = ready_session()
        subscribed(session, 1)
        session.subscribe(2, "tvl", EVERYTHING)
        session.disconnected(1006, "")
        assert [(one["id"], one["channel"]) for one in sent(come_back(session))] == [(3, "prices"), (4, "tvl")]

    @pytest.mark.parametrize(("cursor", "gap"), [("k3f9.0:101", False), ("k3f9.0:102", True), ("b2.0:1", True)])
    def test_a_gap_is_told(self, cursor, gap):
        session = ready_session()
        subscribed(session, 1)
        publish(session, 101)
        session.disconnected(1006, "")
        come_back(session)
        told = Announce(events.Gap("prices", "prices:r1", "k3f9.0:101", cursor))
        assert (told in confirm(session, 2, cursor=cursor)) is gap

    def test_updates_that_the_server_has_no_more_are_a_gap(self):
        session = ready_session(resume=True)
        subscribed(session, 1)
        publish(session, 101)
        told = hear(session, type="notice", code="updates_lost", message="gone", room="prices:r1", oldest="k3f9.0:140")
        assert Announce(events.Gap("prices", "prices:r1", "k3f9.0:101", "k3f9.0:140")) in told
        assert delivered(publish(session, 141)) == [(1, "0:141")]
        session.disconnected(1006, "")
        assert sent(come_back(session))[0]["since"] == "k3f9.0:141"

    def test_ids_of_a_stream_made_anew_are_new(self):
        session = ready_session(resume=True)
        subscribed(session, 1)
        publish(session, 101)
        hear(session, type="notice", code="updates_lost", message="gone", room="prices:r1", oldest="n3w0.")
        assert delivered(publish(session, 101)) == [(1, "0:101")]
        session.disconnected(1006, "")
        assert sent(come_back(session))[0]["since"] == "n3w0.0:101"

    def test_a_loss_of_another_room_is_no_gap_of_ours(self):
        session = ready_session(resume=True)
        subscribed(session, 1)
        told = hear(session, type="notice", code="updates_lost", message="gone", room="prices:r9", oldest="k3f9.0:140")
        assert "Gap" not in repr(told)

    def test_an_answer_to_an_earlier_connection_is_ignored(self):
        session = ready_session()
        session.subscribe(1, "prices", EVERYTHING)
        session.disconnected(1006, "")
        come_back(session)
        assert confirm(session, 1) == ()

    def test_without_resume_no_cursor_is_sent(self):
        session = ready_session()
        subscribed(session, 1)
        session.disconnected(1006, "")
        assert "since" not in sent(come_back(session))[0]

    def test_a_resumed_subscription_moves_on_with_its_replay(self):
        session = ready_session(resume=True)
        subscribed(session, 1)
        publish(session, 101)
        session.disconnected(1006, "")
        assert sent(come_back(session))[0]["since"] == "k3f9.0:101"
        assert "Gap" not in repr(confirm(session, 2, cursor="k3f9.0:101"))
        assert publish(session, 101) == ()
        assert places(publish(session, 150)) == [(0, 150)]
        session.disconnected(1006, "")
        assert sent(come_back(session))[0]["since"] == "k3f9.0:150"
        confirm(session, 3, cursor="k3f9.0:150")
        assert delivered(publish(session, 160)) == [(1, "0:160")]
        ended = end_past(session, 3, "k3f9.0:200", count=1)
        assert ended == (
            Tell(1, Cursor("k3f9", {0: 200}), caught_up=True),
            Announce(events.CaughtUp("prices", "prices:r1", "k3f9.0:200", 1, snapshot=False, expired=False)),
        )
        assert places(publish(session, 201)) == [(0, 201)]
