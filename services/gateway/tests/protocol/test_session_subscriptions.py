"""Subscribing and unsubscribing: refusals, permissions, limits, and what is pending."""

import pytest

from gateway.protocol.effects import CancelJoin, Join, Leave, Send
from services.gateway.tests.protocol.talk import Talk, error, kinds, limited, message, messages, only
from services.gateway.tests.roles import room


def subscribe(**fields: object) -> dict[str, object]:
    return {"type": "subscribe", "channel": "prices", **fields}


def test_subscribed_is_told_when_the_rooms_are_joined_with_the_cursor_of_then():
    talk = Talk().ready()
    join = only(talk.says(subscribe(id=1)), Join)
    assert join.rooms == (room("prices"),)
    assert talk.session.rooms == {}
    talk.moved = 42
    told = message(talk.joined(join.ticket))
    assert (told["type"], told["id"], told["room"], told["cursor"]) == (
        "subscribed",
        1,
        room("prices").id,
        "prices.0:42",
    )
    assert list(talk.session.rooms) == [room("prices").id]


def test_several_channels_are_answered_one_by_one_under_the_same_id():
    talk = Talk().ready()
    join = only(talk.says({"type": "subscribe", "id": "x", "channels": ["tvl", "alerts"]}), Join)
    told = messages(talk.joined(join.ticket))
    assert [(each["type"], each["id"], each["channel"]) for each in told] == [
        ("subscribed", "x", "tvl"),
        ("subscribed", "x", "alerts"),
    ]


def test_a_join_that_failed_may_be_tried_again_and_leaves_nothing():
    talk = Talk().ready()
    join = only(talk.says(subscribe(id=1)), Join)
    told = message(talk.join_failed(join.ticket))
    assert (told["code"], told["id"], told["retryable"]) == ("unavailable", 1, True)
    assert talk.session.rooms == {}
    assert kinds(talk.says(subscribe(id=1))) == [Join]


def test_an_answer_to_an_unknown_ticket_is_passed_over():
    talk = Talk().ready()
    assert (talk.joined(99), talk.join_failed(99)) == ((), ())


def test_subscribing_once_more_is_answered_once_more():
    talk = Talk().ready().subscribed()
    join = only(talk.says(subscribe(id=2)), Join)
    assert message(talk.joined(join.ticket))["id"] == 2
    assert len(talk.session.rooms) == 1


# Permissions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "channel", "allowed"),
    [
        ({"channel:prices"}, "prices", True),
        ({"channel:prices"}, "tvl", False),
        ({"channel:*"}, "tvl", True),
        ({"*"}, "alerts", True),
        ({"broadcast", "users:*"}, "prices", False),
        (set(), "prices", False),
    ],
)
def test_a_channel_needs_its_permission(permissions, channel, allowed):
    talk = Talk().ready(permissions=frozenset(permissions))
    effects = talk.says({"type": "subscribe", "id": 1, "channel": channel})
    if allowed:
        assert kinds(effects) == [Join]
    else:
        assert error(effects) == ("permission_denied", "channel", 1)


@pytest.mark.parametrize(
    ("user", "permissions", "allowed"),
    [
        ("alice", {"channel:*"}, True),
        ("bob", {"channel:*"}, False),
        (None, {"channel:*"}, False),
        ("bob", {"channel:*", "users:*"}, True),
        ("bob", {"*"}, True),
    ],
)
def test_another_users_updates_need_users(user, permissions, allowed):
    talk = Talk().ready(user=user, permissions=frozenset(permissions))
    effects = talk.says(subscribe(id=1, filters={"userId": "alice"}))
    if allowed:
        assert kinds(effects) == [Join]
    else:
        assert error(effects) == ("permission_denied", "filters.userId", 1)


def test_one_channel_without_permission_refuses_them_all():
    talk = Talk().ready(permissions=frozenset({"channel:tvl"}))
    assert error(talk.says({"type": "subscribe", "channels": ["tvl", "prices"]}))[0] == "permission_denied"


# Limits --------------------------------------------------------------------------------------------------------------


def test_no_more_subscriptions_than_the_limit_with_the_pending_ones_counted():
    talk = Talk(limits=limited(subscriptions=2)).ready().subscribed("prices")
    pending = only(talk.says({"type": "subscribe", "channel": "tvl"}), Join)
    refused = {"type": "subscribe", "id": 3, "channel": "alerts"}
    assert error(talk.says(refused)) == ("too_many_subscriptions", "channel", 3)
    talk.join_failed(pending.ticket)
    assert kinds(talk.says(refused)) == [Join]


def test_a_subscription_that_is_there_already_does_not_count_twice():
    talk = Talk(limits=limited(subscriptions=1)).ready().subscribed("prices")
    assert kinds(talk.says(subscribe())) == [Join]


def test_several_rooms_at_once_are_counted_one_by_one():
    talk = Talk(limits=limited(subscriptions=2)).ready()
    assert error(talk.says({"type": "subscribe", "channels": ["tvl", "prices", "alerts"]}))[0] == (
        "too_many_subscriptions"
    )
    assert kinds(talk.says({"type": "subscribe", "channels": ["tvl", "prices"]})) == [Join]


def test_no_limit_means_none():
    talk = Talk(limits=limited(subscriptions=None, subscription_changes_per_minute=None)).ready()
    for number in range(200):
        talk.subscribed(filters={"tokenIds": [str(number)]})
    assert len(talk.session.rooms) == 200


def test_a_keys_own_number_of_filter_values_holds():
    talk = Talk().ready(limits={"filterValues": 2})
    assert error(talk.says(subscribe(filters={"tokenIds": ["a", "b", "c"]})))[:2] == (
        "invalid_filter",
        "filters.tokenIds",
    )


def test_exactly_as_many_changes_as_the_limit_pass_in_a_minute():
    talk = Talk(limits=limited(subscription_changes_per_minute=4)).ready().subscribed("prices").subscribed("tvl")
    talk.says({"type": "unsubscribe", "channel": "prices"})
    talk.says({"type": "unsubscribe_all"})
    for refused in (subscribe(), {"type": "unsubscribe", "channel": "tvl"}, {"type": "unsubscribe_all"}):
        told = message(talk.says(refused))
        assert (told["code"], told["retryable"], told["retryAfterMs"]) == ("rate_limited", True, 60_000)
    talk.clock.advance(60)
    assert kinds(talk.says(subscribe())) == [Join]


def test_a_refused_subscribe_does_not_count_as_a_change():
    talk = Talk(limits=limited(subscription_changes_per_minute=1)).ready(permissions=frozenset({"channel:tvl"}))
    assert error(talk.says(subscribe()))[0] == "permission_denied"
    assert kinds(talk.says({"type": "subscribe", "channel": "tvl"})) == [Join]


# Pending and unsubscribing -------------------------------------------------------------------------------------------


def test_an_id_may_be_used_again_only_when_its_subscribe_was_answered():
    talk = Talk().ready()
    join = only(talk.says(subscribe(id="a")), Join)
    assert error(talk.says({"type": "subscribe", "id": "a", "channel": "tvl"})) == ("bad_request", "id", "a")
    talk.joined(join.ticket)
    assert kinds(talk.says({"type": "subscribe", "id": "a", "channel": "tvl"})) == [Join]


def test_subscribes_without_an_id_may_be_pending_together():
    talk = Talk().ready()
    assert kinds(talk.says(subscribe())) == [Join]
    assert kinds(talk.says(subscribe())) == [Join]


@pytest.mark.parametrize("target", [{"channel": "prices"}, {"room": room("prices").id}])
def test_unsubscribing_leaves_the_room_before_it_is_told(target):
    talk = Talk().ready().subscribed()
    effects = talk.says({"type": "unsubscribe", "id": 5, **target})
    assert kinds(effects) == [Leave, Send]
    assert (message(effects)["type"], message(effects)["id"]) == ("unsubscribed", 5)
    assert error(talk.says({"type": "unsubscribe", "id": 6, **target})) == ("not_subscribed", "room", 6)


def test_unsubscribing_a_pending_room_ends_its_subscribe_first():
    talk = Talk().ready()
    join = only(talk.says(subscribe(id="sub")), Join)
    effects = talk.says({"type": "unsubscribe", "id": "un", "channel": "prices"})
    assert only(effects, CancelJoin).ticket == join.ticket
    assert [(told["id"], told["code"]) for told in messages(effects)] == [
        ("sub", "not_subscribed"),
        ("un", "not_subscribed"),
    ]
    assert talk.joined(join.ticket) == ()
    assert talk.session.rooms == {}


def test_a_room_that_is_there_and_asked_for_once_more_is_left_in_both_ways():
    talk = Talk().ready().subscribed()
    talk.says(subscribe(id="again"))
    effects = talk.says({"type": "unsubscribe", "id": "un", "channel": "prices"})
    assert kinds(effects) == [CancelJoin, Send, Leave, Send]
    assert [told["type"] for told in messages(effects)] == ["error", "unsubscribed"]


def test_unsubscribe_all_ends_what_is_pending_too_and_tells_what_was_left():
    talk = Talk().ready().subscribed("tvl").subscribed("alerts")
    talk.says(subscribe(id="sub"))
    effects = talk.says({"type": "unsubscribe_all", "id": "all"})
    assert kinds(effects) == [CancelJoin, Send, Leave, Leave, Send]
    told = messages(effects)[-1]
    assert (told["id"], told["count"]) == ("all", 2)
    assert {each["channel"] for each in told["subscriptions"]} == {"tvl", "alerts"}
    assert message(talk.says({"type": "list"}))["subscriptions"] == []


def test_list_tells_what_is_subscribed_and_not_what_is_pending():
    talk = Talk().ready().subscribed("tvl", filters={"chains": ["Base"]})
    talk.says(subscribe())
    (listed,) = message(talk.says({"type": "list"}))["subscriptions"]
    assert (listed["channel"], listed["filters"], listed["cursor"]) == ("tvl", {"chains": ["base"]}, "tvl.0:0")
