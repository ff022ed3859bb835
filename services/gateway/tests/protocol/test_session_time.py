"""What time asks for: heartbeats, idleness, the authentication timeout, lifetimes; and how much may be said in a minute."""

import pytest

from gateway.protocol.close_codes import CloseCode
from gateway.protocol.effects import Abort, Close, Seen, Send, SendPing
from gateway.protocol.replies import Timing
from gateway.protocol.session import CLOSE_TIMEOUT_SECONDS, MAX_MISUNDERSTOOD, State
from services.gateway.tests.protocol.talk import Talk, kinds, limited, message, messages, only

TIMING = Timing(heartbeat_interval=15, idle_timeout=60, auth_timeout=10, lifetime=3600, expiring_notice=60)


def talk_with(**fields: float) -> Talk:
    timing = {name: getattr(TIMING, name) for name in TIMING.__slots__} | fields
    return Talk(timing=Timing(**timing))


# Heartbeats ----------------------------------------------------------------------------------------------------------


def test_a_heartbeat_comes_each_interval_with_a_ping():
    talk = talk_with().ready()
    assert talk.tick(14.9) == ()
    assert kinds(talk.tick(0.1)) == [Send, SendPing]
    assert talk.tick(14.9) == ()
    assert kinds(talk.tick(0.1)) == [Send, SendPing]


def test_a_heartbeat_tells_cursors_of_subscribed_channels_and_what_was_sent():
    talk = talk_with().ready().subscribed("prices").subscribed("prices", filters={"chains": ["a"]}).subscribed("tvl")
    talk.moved = 9
    told = message(talk.tick(15, sent=7))
    assert (told["type"], told["sent"]) == ("heartbeat", 7)
    assert told["cursors"] == {"prices": "prices.0:9", "tvl": "tvl.0:9"}


def test_before_the_key_was_checked_there_is_only_a_ping():
    talk = talk_with(auth_timeout=100)
    talk.open()
    assert kinds(talk.tick(15)) == [SendPing]


def test_seen_is_told_with_a_heartbeat_if_anything_was_heard_since_the_last():
    talk = talk_with().ready()
    assert Seen not in kinds(talk.tick(15))
    talk.clock.advance(1)
    talk.hears()
    assert kinds(talk.tick(14)) == [Seen, Send, SendPing]
    assert Seen not in kinds(talk.tick(15))


# Ends ----------------------------------------------------------------------------------------------------------------


def test_who_is_not_heard_for_the_idle_timeout_is_closed():
    talk = talk_with().ready()
    for _ in range(3):
        talk.tick(15)
    talk.tick(14.9)
    assert talk.closes == []
    assert only(talk.tick(0.1), Close).code == 4002


def test_anything_heard_counts_against_idleness():
    talk = talk_with().ready()
    for _ in range(10):
        talk.tick(30)
        talk.hears()
    assert talk.closes == []


def test_without_a_key_in_time_the_connection_is_closed():
    talk = talk_with()
    talk.open()
    talk.says({"type": "ping"})
    assert talk.tick(9.9) == ()
    effects = talk.tick(0.1)
    assert message(effects)["code"] == "api_key_required"
    assert only(effects, Close).code == 4501


def test_auth_not_answering_is_not_the_clients_fault():
    talk = talk_with()
    talk.open()
    talk.tick(9)
    talk.says({"type": "authenticate", "apiKey": "key"})
    assert kinds(talk.tick(9.9)) == [SendPing]
    effects = talk.tick(0.1)
    assert (message(effects)["code"], message(effects)["retryable"]) == ("unavailable", True)
    assert only(effects, Close).code == 4004


def alive(talk: Talk, seconds: float) -> None:
    """Time goes on; pongs come."""
    talk.clock.advance(seconds)
    talk.hears()


def test_a_lifetime_ends_after_a_warning():
    talk = talk_with().ready()
    alive(talk, 3539)
    assert "notice" not in [told["type"] for told in messages(talk.tick())]
    (notice,) = [told for told in messages(talk.tick(1)) if told["type"] == "notice"]
    assert notice["code"] == "expiring"
    talk.hears()
    assert "notice" not in [told["type"] for told in messages(talk.tick(30))]
    talk.hears()
    assert only(talk.tick(30), Close).code == 4001


def test_the_lifetime_counts_from_the_start_and_not_from_the_key():
    talk = talk_with(lifetime=100, expiring_notice=0, auth_timeout=50)
    talk.open()
    talk.tick(40)
    talk.says({"type": "authenticate", "apiKey": "key"})
    talk.decided()
    alive(talk, 59.9)
    talk.tick()
    assert talk.closes == []
    assert only(talk.tick(0.1), Close).code == 4001


def test_a_short_lifetime_is_warned_of_in_its_last_tenth():
    talk = talk_with(lifetime=10).ready()
    assert talk.tick(8.9) == ()
    assert message(talk.tick(0.1))["code"] == "expiring"


def test_a_key_that_ends_earlier_ends_the_connection():
    talk = talk_with()
    talk.ready(expires_at=talk.clock.now_ms() + 120_000)
    alive(talk, 60)
    assert [told["type"] for told in messages(talk.tick())] == ["notice", "heartbeat"]
    alive(talk, 59.9)
    talk.tick()
    assert talk.closes == []
    assert only(talk.tick(0.1), Close).code == 4001


def test_a_close_that_is_not_answered_ends_the_transport():
    talk = talk_with().ready()
    talk.tick(60)
    assert talk.session.state is State.CLOSING
    assert talk.tick(CLOSE_TIMEOUT_SECONDS - 0.1) == ()
    assert kinds(talk.tick(0.1)) == [Abort]
    talk.session.ended()
    assert talk.tick(100) == ()


def test_a_client_that_began_to_close_is_given_the_same_time():
    talk = talk_with().ready()
    talk.session.closing(talk.clock.monotonic())
    assert talk.tick(CLOSE_TIMEOUT_SECONDS - 0.1) == ()
    assert kinds(talk.tick(0.1)) == [Abort]


def test_a_connection_is_closed_once():
    talk = talk_with().ready()
    talk.tick(60)
    assert talk.revoked() == ()
    assert talk.session.close(CloseCode.DRAINING, "again", now=talk.clock.monotonic()) == ()
    assert talk.closes == [4002]


@pytest.mark.parametrize("ready", [False, True])
def test_next_tick_is_when_there_is_something_to_do(ready):
    """Following `next_tick` alone, everything happens at its time."""
    talk = talk_with(lifetime=200)
    talk.open("key") if ready else talk.open()
    if ready:
        talk.decided()
    told: list[tuple[float, object]] = []
    start = talk.clock.monotonic()
    while Abort not in kinds(talk.effects):
        at = talk.session.next_tick()
        assert at > talk.clock.monotonic() or not told
        if ready and at - start < 180:
            talk.hears()
            at = talk.session.next_tick()
        effects = talk.tick(at - talk.clock.monotonic())
        assert effects, "asked for a tick in which nothing was to do"
        told += [(round(at - start, 3), effect) for effect in effects if isinstance(effect, Close | Abort)]
    ends = [(200.0, 4001), (205.0, None)] if ready else [(10.0, 4501), (15.0, None)]
    assert [(at, getattr(effect, "code", None)) for at, effect in told] == ends


# Messages a minute ---------------------------------------------------------------------------------------------------

PING = {"type": "ping"}


def test_exactly_a_thousand_messages_pass_in_a_minute():
    talk = Talk().ready()
    for _ in range(1000):
        assert message(talk.says(PING))["type"] == "pong"
    talk.clock.advance(18)
    told = message(talk.says(PING))
    assert (told["code"], told["retryable"], told["retryAfterMs"]) == ("rate_limited", True, 42_000)
    talk.clock.advance(42)
    assert message(talk.says(PING))["type"] == "pong"


def test_beyond_twice_the_limit_the_connection_is_closed():
    talk = Talk(limits=limited(messages_per_minute=10)).ready()
    for _ in range(20):
        talk.says(PING)
    assert talk.closes == []
    told = message(talk.says(PING))
    assert (told["code"], told["retryable"], told["retryAfterMs"]) == ("rate_limited", True, 60_000)
    assert talk.closes == [4005]


def test_broken_messages_and_those_before_the_key_count_too():
    talk = Talk(limits=limited(messages_per_minute=2))
    talk.open()
    talk.says(b"{")
    talk.says({"type": "list"})
    assert message(talk.says(PING))["code"] == "rate_limited"


def test_a_key_without_the_limit_may_say_as_much_as_it_likes():
    talk = Talk(limits=limited(messages_per_minute=5)).ready(limits={"messagesPerMinute": None})
    assert all(message(talk.says(PING))["type"] == "pong" for _ in range(100))


def test_a_client_that_is_never_understood_is_closed():
    ready = Talk().ready()
    for _ in range(MAX_MISUNDERSTOOD - 1):
        ready.says(b"{")
    ready.says({"type": "ping"})
    for _ in range(MAX_MISUNDERSTOOD - 1):
        ready.says(b"{")
    assert ready.session.state is State.READY
    ready.says({"type": "dance"})
    assert ready.closes == [CloseCode.BAD_REQUEST]
