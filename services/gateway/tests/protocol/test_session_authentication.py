"""How a connection gets its key checked, and what waits meanwhile."""

from gateway.protocol.effects import Close, Join, Register, Send, ValidateKey
from gateway.protocol.session import MAX_WAITING_COMMANDS, State
from services.gateway.tests.protocol.talk import (
    ALLOWED,
    AWAY,
    REFUSED,
    Talk,
    error,
    key_hash,
    kinds,
    message,
    messages,
    only,
    replace_decision,
)


def test_a_key_of_the_handshake_is_checked_at_once():
    talk = Talk()
    effects = talk.open("key")
    assert kinds(effects) == [Send, ValidateKey]
    assert message(effects)["type"] == "welcome"
    assert only(effects, ValidateKey).key_hash == key_hash("key")


def test_without_a_key_the_client_is_welcomed_and_waited_for():
    talk = Talk()
    assert kinds(talk.open()) == [Send]
    assert talk.session.state is State.NEW


def test_a_key_of_a_message_is_checked_and_its_id_comes_back():
    talk = Talk()
    talk.open()
    effects = talk.says({"type": "auth", "id": "mine", "auth": {"apiKey": "key"}})
    assert only(effects, ValidateKey).key_hash == key_hash("key")
    told = message(talk.decided())
    assert (told["type"], told["id"], told["user"], told["permissions"]) == (
        "authenticated",
        "mine",
        "alice",
        ["channel:*"],
    )


def test_a_refusal_carries_the_id_of_the_message_that_gave_the_key():
    talk = Talk()
    talk.open()
    talk.says({"type": "auth", "id": 7, "apiKey": "key"})
    assert error(talk.decided(REFUSED)) == ("invalid_api_key", None, 7)
    assert talk.closes == [4502]
    assert talk.said[-1]["message"] == "the key is unknown"


def test_auth_being_away_may_be_tried_again():
    talk = Talk()
    talk.open("key")
    assert message(talk.decided(AWAY))["retryable"] is True
    assert talk.closes == [4004]


def test_a_wrong_key_message_leaves_the_connection_open_for_a_right_one():
    talk = Talk()
    talk.open()
    assert error(talk.says({"type": "authenticate"}))[:2] == ("api_key_required", "apiKey")
    assert kinds(talk.says({"type": "authenticate", "apiKey": "key"})) == [ValidateKey]


def test_commands_sent_while_the_key_is_checked_are_answered_after_it_in_order():
    talk = Talk()
    talk.open()
    talk.says({"type": "authenticate", "apiKey": "key"})
    assert talk.says({"type": "subscribe", "id": 1, "channel": "prices"}) == ()
    assert talk.says(b"{") == ()
    assert talk.says({"type": "ping", "id": 2}) == ()
    effects = talk.decided()
    assert kinds(effects) == [Register, Send, Join, Send, Send]
    assert [told.get("type") for told in messages(effects)] == ["authenticated", "error", "pong"]


def test_commands_sent_before_a_refusal_are_not_answered():
    talk = Talk()
    talk.open("key")
    talk.says({"type": "subscribe", "channel": "prices"})
    talk.decided(REFUSED)
    assert [told["type"] for told in talk.said] == ["welcome", "error"]


def test_only_so_many_commands_are_held():
    talk = Talk()
    talk.open("key")
    for _ in range(MAX_WAITING_COMMANDS):
        assert talk.says({"type": "ping"}) == ()
    told = message(talk.says({"type": "ping"}))
    assert (told["code"], told["retryable"]) == ("rate_limited", True)
    assert len(messages(talk.decided())) == 1 + MAX_WAITING_COMMANDS


def test_a_key_may_have_limits_of_its_own():
    talk = Talk()
    talk.open("key")
    told = message(talk.decided(replace_decision(ALLOWED, limits={"subscriptions": 2, "messagesPerMinute": None})))
    assert (told["limits"]["subscriptions"], told["limits"]["messagesPerMinute"]) == (2, None)
    assert talk.session.limits.subscriptions == 2


def test_a_revoked_key_ends_the_conversation():
    talk = Talk().ready()
    effects = talk.revoked()
    assert error(effects)[0] == "invalid_api_key"
    assert only(effects, Close).code == 4503
    assert talk.revoked() == ()


def test_the_id_of_the_message_that_gave_the_key_is_that_answers_alone():
    talk = Talk()
    talk.open()
    talk.says({"type": "auth", "id": 7, "apiKey": "key"})
    talk.decided()
    assert error(talk.revoked()) == ("invalid_api_key", None, None)
