"""Any conversation whatever keeps its promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.protocol.effects import Abort, CancelJoin, Close, Effect, Join, Leave, Register, Seen
from gateway.protocol.session import State
from services.gateway.tests.protocol.talk import ALLOWED, AWAY, REFUSED, Talk, limited, messages
from services.gateway.tests.roles import examples

CHANNELS = ("prices", "tvl", "alerts")
MESSAGES = st.one_of(
    st.fixed_dictionaries({"type": st.just("subscribe"), "channel": st.sampled_from(CHANNELS)}),
    st.fixed_dictionaries(
        {"type": st.just("subscribe"), "id": st.integers(0, 2), "channel": st.sampled_from(CHANNELS)}
    ),
    st.fixed_dictionaries({"type": st.just("subscribe"), "channels": st.just(list(CHANNELS[:2]))}),
    st.fixed_dictionaries({"type": st.just("unsubscribe"), "channel": st.sampled_from(CHANNELS)}),
    st.sampled_from(
        [
            {"type": "unsubscribe_all"},
            {"type": "list"},
            {"type": "ping"},
            {"type": "authenticate", "apiKey": "key"},
            {"type": "nonsense"},
            b"\xff",
        ]
    ),
)


class Conversation(RuleBasedStateMachine):
    """`rooms` is what a client can conclude from the replies; `tickets` are the joins that the driver has in hand."""

    @initialize(key=st.sampled_from([None, "key"]))
    def begin(self, key):
        self.talk = Talk(limits=limited(messages_per_minute=8, subscription_changes_per_minute=6, subscriptions=3))
        self.rooms: set[str] = set()
        self.tickets: list[int] = []
        self.closed = False
        self.allowed = False
        self.watch(self.talk.open(key))

    def watch(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if self.closed:
                assert isinstance(effect, Abort | CancelJoin | Leave), f"{effect} after the close"
            match effect:
                case Close():
                    self.closed = True
                case Register():
                    assert self.allowed, "registered without an allowed decision"
                case Join(ticket=ticket):
                    assert ticket not in self.tickets
                    self.tickets.append(ticket)
                case CancelJoin(ticket=ticket):
                    self.tickets.remove(ticket)
                case Seen():
                    assert self.talk.session.state is State.READY
        for told in messages(effects):
            self.note(told)

    def note(self, told: dict[str, Any]) -> None:
        if told["type"] == "subscribed":
            self.rooms.add(told["room"])
        elif told["type"] == "unsubscribed":
            gone = told.get("subscriptions", [told])
            self.rooms -= {each["room"] for each in gone}
        elif told["type"] == "subscriptions":
            assert {each["room"] for each in told["subscriptions"]} == self.rooms

    @rule(message=MESSAGES)
    def say(self, message):
        self.watch(self.talk.says(message))

    @rule(decision=st.sampled_from([ALLOWED, ALLOWED, ALLOWED, REFUSED, AWAY]))
    def decide(self, decision):
        if self.talk.session.state is State.AUTHENTICATING:
            self.allowed = decision is ALLOWED
        self.watch(self.talk.decided(decision))

    @precondition(lambda self: self.tickets)
    @rule(number=st.integers(0, 5), works=st.booleans())
    def settle(self, number, works):
        ticket = self.tickets.pop(number % len(self.tickets))
        self.watch(self.talk.joined(ticket) if works else self.talk.join_failed(ticket))

    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0, 20.0, 70.0]), heard=st.booleans())
    def time_goes_on(self, seconds, heard):
        if heard:
            self.talk.clock.advance(seconds)
            self.talk.hears()
            seconds = 0.0
        self.watch(self.talk.tick(seconds))

    @rule(how=st.sampled_from(["revoked", "peer", "ended"]))
    @precondition(lambda self: len(self.talk.effects) > 10)
    def end(self, how):
        if how == "revoked":
            self.watch(self.talk.revoked())
            return
        if how == "peer":
            self.talk.session.closing(self.talk.clock.monotonic())
        else:
            self.talk.session.ended()
        self.closed = True

    @invariant()
    def ready_only_when_allowed(self):
        if hasattr(self, "talk"):
            assert self.talk.session.state is not State.READY or self.allowed

    @invariant()
    def rooms_follow_replies(self):
        if hasattr(self, "talk") and not self.closed:
            assert set(self.talk.session.rooms) == self.rooms
            assert set(self.talk.session.subscriptions.pending or {}) == set(self.tickets)
            assert len(self.rooms) <= 3


TestConversation = Conversation.TestCase
TestConversation.settings = settings(examples, stateful_step_count=30)
