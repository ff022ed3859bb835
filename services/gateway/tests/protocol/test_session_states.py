"""Every message in every state, from one table."""

import pytest

from gateway.protocol.close_codes import CloseCode
from gateway.protocol.effects import Effect, Join, Leave, Register, Send, ValidateKey
from gateway.protocol.session import State
from services.gateway.tests.protocol.talk import ALLOWED, AWAY, REFUSED, Talk, messages

MESSAGES: dict[str, object] = {
    "authenticate": {"type": "authenticate", "apiKey": "key"},
    "subscribe": {"type": "subscribe", "channel": "tvl"},
    "unsubscribe": {"type": "unsubscribe", "channel": "prices"},
    "unsubscribe_all": {"type": "unsubscribe_all"},
    "list": {"type": "list"},
    "ping": {"type": "ping"},
    "unknown": {"type": "fly"},
    "broken": b"{",
}

NOTHING: list[object] = []
HELD = NOTHING

ANSWERS: dict[State, dict[str, list[object]]] = {
    State.NEW: {
        "authenticate": [ValidateKey],
        "subscribe": ["api_key_required"],
        "unsubscribe": ["api_key_required"],
        "unsubscribe_all": ["api_key_required"],
        "list": ["api_key_required"],
        "ping": ["pong"],
        "unknown": ["unknown_type"],
        "broken": ["bad_request"],
    },
    State.AUTHENTICATING: dict.fromkeys(MESSAGES, HELD),
    State.READY: {
        "authenticate": ["already_authenticated"],
        "subscribe": [Join],
        "unsubscribe": [Leave, "unsubscribed"],
        "unsubscribe_all": [Leave, "unsubscribed"],
        "list": ["subscriptions"],
        "ping": ["pong"],
        "unknown": ["unknown_type"],
        "broken": ["bad_request"],
    },
    State.CLOSING: dict.fromkeys(MESSAGES, NOTHING),
    State.CLOSED: dict.fromkeys(MESSAGES, NOTHING),
}


def in_state(state: State) -> Talk:
    """A conversation in a state; where it is READY it has a subscription to all prices."""
    talk = Talk()
    if state is State.READY:
        return talk.ready().subscribed("prices")
    talk.open("key" if state is State.AUTHENTICATING else None)
    if state in (State.CLOSING, State.CLOSED):
        talk.session.close(CloseCode.NORMAL, "over", now=talk.clock.monotonic())
    if state is State.CLOSED:
        talk.session.ended()
    assert talk.session.state is state
    return talk


def shown(effects: tuple[Effect, ...] | list[Effect]) -> list[object]:
    """Effects by their class; sends by their type, errors by their code."""
    found: list[object] = []
    for effect in effects:
        if isinstance(effect, Send):
            (told,) = messages([effect])
            found.append(told["code"] if told["type"] == "error" else told["type"])
        else:
            found.append(type(effect))
    return found


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", MESSAGES)
def test_each_message_in_each_state(state, name):
    talk = in_state(state)
    assert shown(list(talk.says(MESSAGES[name]))) == ANSWERS[state][name]


def test_the_table_is_complete():
    assert set(ANSWERS) == set(State)
    assert all(set(answers) == set(MESSAGES) for answers in ANSWERS.values())


@pytest.mark.parametrize("state", [state for state in State if state is not State.AUTHENTICATING])
@pytest.mark.parametrize("decision", [ALLOWED, REFUSED, AWAY])
def test_a_decision_that_nobody_waits_for_changes_nothing(state, decision):
    talk = in_state(state)
    assert talk.decided(decision) == ()
    assert talk.session.state is state


@pytest.mark.parametrize(
    ("decision", "state", "effects"),
    [
        (ALLOWED, State.READY, [Register, "authenticated"]),
        (REFUSED, State.CLOSING, ["invalid_api_key", 4502]),
        (AWAY, State.CLOSING, ["unavailable", 4004]),
    ],
)
def test_each_decision_while_authenticating(decision, state, effects):
    talk = in_state(State.AUTHENTICATING)
    found = talk.decided(decision)
    closes = [getattr(effect, "code", effect) for effect in found[-1:]] if state is State.CLOSING else []
    assert [*shown(list(found))[: len(found) - len(closes)], *closes] == effects
    assert talk.session.state is state
