"""Subscribing with `since` or `snapshot`: what is told when, and where the connection stands meanwhile."""

from __future__ import annotations

from typing import Any

from common.errors import ErrorCode
from gateway.protocol.effects import CancelJoin, CatchUp, Join, Leave, Send
from services.gateway.tests.protocol.talk import Talk, error, kinds, message, messages, only
from services.gateway.tests.roles import room

PRICES, TVL = room("prices"), room("tvl")
SINCE = "prices.0:7"


def ask(talk: Talk, **fields: Any) -> CatchUp:
    return only(talk.says({"type": "subscribe", "id": 1, "channel": "prices", **fields}), CatchUp)


def begun(talk: Talk, **fields: Any) -> CatchUp:
    effect = ask(talk, **fields)
    talk._keep(talk.session.subscriptions.begun(effect.ticket))
    return effect


def heartbeat(talk: Talk) -> dict[str, Any]:
    (found,) = (each for each in messages(talk.tick(15)) if each["type"] == "heartbeat")
    return found


def test_subscribed_tells_the_cursor_that_was_asked_with_and_replay_end_where_it_stands_then():
    talk = Talk().ready()
    begun(talk, since=SINCE)
    assert (talk.said[-1]["type"], talk.said[-1]["id"], talk.said[-1]["cursor"]) == ("subscribed", 1, SINCE)
    talk.moved = 9
    told = message(talk.session.subscriptions.caught_up(PRICES.id, 2, snapshot=False))
    assert told == {
        "type": "replay_end",
        "id": 1,
        "channel": "prices",
        "room": PRICES.id,
        "count": 2,
        "cursor": "prices.0:9",
    }


def test_a_snapshot_ends_with_snapshot_end_and_one_for_an_expired_cursor_says_so():
    talk = Talk().ready()
    begun(talk, snapshot=True)
    told = message(talk.session.subscriptions.caught_up(PRICES.id, 2, snapshot=True))
    assert (told["type"], "expired" in told) == ("snapshot_end", False)
    begun(talk, id=2, since=SINCE, snapshot=True)
    told = message(talk.session.subscriptions.caught_up(PRICES.id, 2, snapshot=True))
    assert (told["type"], told["expired"]) == ("snapshot_end", True)


def test_last_values_in_place_of_a_cursor_of_another_stream_begin_with_no_cursor_of_that_stream():
    talk = Talk().ready()
    begun(talk, since="gone.0:7", snapshot=True)
    assert talk.said[-1]["cursor"] == "prices."


def test_a_snapshot_of_several_channels_is_asked_for_room_by_room():
    talk = Talk().ready()
    effects = talk.says({"type": "subscribe", "id": 1, "channels": ["prices", "tvl"], "snapshot": True})
    assert [effect.room for effect in effects if isinstance(effect, CatchUp)] == [PRICES, TVL]


def test_heartbeats_leave_out_a_channel_until_it_is_caught_up_with():
    talk = Talk().ready().subscribed("tvl")
    talk.subscribed("prices", filters={"chains": ["base"]})
    ask(talk, since=SINCE)
    assert set(heartbeat(talk)["cursors"]) == {"tvl"}
    talk.session.subscriptions.begun(3)
    assert set(heartbeat(talk)["cursors"]) == {"tvl"}
    talk.session.subscriptions.caught_up(PRICES.id, 0, snapshot=False)
    assert set(heartbeat(talk)["cursors"]) == {"tvl", "prices"}


def test_list_tells_the_cursor_asked_with_while_it_is_being_replayed():
    talk = Talk().ready()
    begun(talk, since=SINCE)
    listed = message(talk.says({"type": "list"}))["subscriptions"]
    assert [(each["room"], each["cursor"]) for each in listed] == [(PRICES.id, SINCE)]


def test_a_cursor_that_has_expired_is_told_with_the_oldest_and_ends_the_subscription():
    talk = Talk().ready()
    effect = begun(talk, since=SINCE)
    told = message(
        talk.session.subscriptions.failed(
            effect.ticket, PRICES.id, ErrorCode.CURSOR_EXPIRED, "gone", oldest="k3f9.0:50"
        )
    )
    assert (told["code"], told["id"], told["field"], told["retryable"], told["oldest"]) == (
        "cursor_expired",
        1,
        "since",
        False,
        "k3f9.0:50",
    )
    assert talk.session.rooms == {}
    assert set(heartbeat(talk)["cursors"]) == set()


def test_a_replay_that_fails_before_it_began_ends_the_subscription_that_it_replaced():
    talk = Talk().ready().subscribed("prices")
    effect = ask(talk, id=2, since=SINCE)
    effects = talk.session.subscriptions.failed(effect.ticket, PRICES.id, ErrorCode.UNAVAILABLE, "no answer")
    assert error(effects) == ("unavailable", None, 2)
    assert talk.session.rooms == {}


def test_unsubscribing_while_it_is_replayed_ends_it_without_a_replay_end():
    talk = Talk().ready()
    begun(talk, since=SINCE)
    assert kinds(talk.says({"type": "unsubscribe", "id": 2, "room": PRICES.id})) == [Leave, Send]
    assert talk.session.subscriptions.caught_up(PRICES.id, 2, snapshot=False) == ()


def test_unsubscribing_before_it_began_answers_both():
    talk = Talk().ready()
    effect = ask(talk, since=SINCE)
    effects = talk.says({"type": "unsubscribe", "id": 2, "room": PRICES.id})
    assert only(effects, CancelJoin).ticket == effect.ticket
    assert [(each["code"], each["id"]) for each in messages(effects)] == [("not_subscribed", 1), ("not_subscribed", 2)]
    assert talk.session.subscriptions.begun(effect.ticket) == ()


def test_a_second_replay_of_a_room_takes_the_place_of_one_that_has_not_begun():
    talk = Talk().ready()
    first = ask(talk, since=SINCE)
    effects = talk.says({"type": "subscribe", "id": 2, "channel": "prices", "since": SINCE})
    assert kinds(effects) == [CancelJoin, Send, CatchUp]
    assert error([effects[1]]) == ("not_subscribed", None, 1)
    assert only(effects, CancelJoin).ticket == first.ticket
    assert list(talk.session.subscriptions.pending or ()) == [only(effects, CatchUp).ticket]


def test_a_plain_subscribe_needs_no_replay():
    talk = Talk().ready()
    assert kinds(talk.says({"type": "subscribe", "channel": "prices", "since": None, "snapshot": False})) == [Join]
