"""The session from tables: opening, authentication, closing."""

import pytest

from clients.python.tests.session_talk import EVERYTHING, come_back, hear, make_session, ready_session, sent
from defistream import events
from defistream.effects import Announce, Finish, Ready, Reconnect, Stop
from defistream.errors import AuthenticationFailed, ConnectionClosed, ConnectionFailed


def test_the_key_is_the_first_thing_said():
    assert sent(make_session().connected()) == [{"type": "authenticate", "auth": {"apiKey": "ds_key"}}]


def test_authentication_is_told_once():
    session = make_session()
    session.connected()
    hear(session, type="welcome", connectionId="c1", heartbeatInterval=15000)
    assert hear(session, type="authenticated", user="ann") == (Ready(), Announce(events.Connected("c1", "ann")))
    assert hear(session, type="authenticated", user="ann") == ()


def test_silence_is_measured_in_heartbeats():
    session = make_session()
    assert session.silence_limit == 15.0
    session.connected()
    hear(session, type="welcome", connectionId="c1", heartbeatInterval=2000)
    assert session.silence_limit == 6.0


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 4000, 4001, 4002, 4003, 4004])
def test_it_comes_back_after(code):
    reconnecting = events.Reconnecting(1.0, code, "why")
    assert ready_session().disconnected(code, "why") == (Announce(reconnecting), Reconnect(1.0))


@pytest.mark.parametrize("code", [1003, 1007, 1009, 4500, 4504])
def test_it_gives_up_after(code):
    (stop,) = ready_session().disconnected(code, "why")
    assert isinstance(stop, Stop)
    assert isinstance(stop.error, ConnectionClosed)
    assert (stop.error.code, stop.error.reason) == (code, "why")


@pytest.mark.parametrize("code", [1006, 4000])
def test_it_gives_up_after_any_close_where_it_must_not_come_back(code):
    assert isinstance(ready_session(reconnect=False).disconnected(code, "")[0], Stop)


def test_a_refused_key_is_told_in_the_servers_words():
    session = make_session()
    session.connected()
    hear(session, type="error", code="invalid_api_key", message="no such key")
    (stop,) = session.disconnected(4502, "invalid key")
    assert isinstance(stop, Stop)
    assert isinstance(stop.error, AuthenticationFailed)
    assert str(stop.error) == "authentication failed: no such key (invalid_api_key)"


def test_waits_grow_until_the_connection_proves_useful():
    session = make_session()
    waits = []
    for _ in range(3):
        come_back(session)
        waits.append(session.disconnected(4004, "")[-1])
    come_back(session)
    hear(session, type="heartbeat", cursors={})
    waits.append(session.disconnected(4004, "")[-1])
    assert waits == [Reconnect(1.0), Reconnect(2.0), Reconnect(4.0), Reconnect(1.0)]


def test_a_draining_servers_wish_comes_before_the_jitter():
    session = ready_session()
    hear(session, type="notice", code="draining", message="m", retryAfterMs=5000)
    assert session.disconnected(4000, "draining")[-1] == Reconnect(6.0)
    come_back(session)
    assert session.disconnected(4000, "retryAfterMs=3000")[-1] == Reconnect(5.0), "forgotten with its connection"


def test_a_connection_that_cannot_be_opened_is_tried_again():
    session = make_session()
    error = ConnectionFailed("ws://x", "refused")
    assert session.failed(error, retryable=True)[-1] == Reconnect(1.0)
    assert session.failed(error, retryable=True)[-1] == Reconnect(2.0)
    assert session.failed(error, retryable=False) == (Stop(error),)


def test_after_the_end_nothing_begins():
    session = ready_session()
    session.close()
    assert session.close() == ()
    assert session.disconnected(1006, "") == ()
    (finish,) = session.subscribe(1, "prices", EVERYTHING)
    assert isinstance(finish, Finish)
