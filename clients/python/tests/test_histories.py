"""Overlapping subscriptions through interruptions, in random histories: each gets all that it selects, once, in order."""

import itertools
from collections.abc import Callable
from functools import partial
from random import Random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from clients.python.tests.gateway_model import EPOCH, GatewayModel
from clients.python.tests.session_talk import come_back, hear, make_session, sent
from defistream.cursors import Cursor, parse_cursor
from defistream.effects import Announce, Begin, Deliver, Effects, Finish, Hold
from defistream.events import Subscribed
from defistream.filters import Filters, make_filters
from defistream.updates import Update

STEPS = 250
SELECTIONS = (
    make_filters(),
    make_filters(token_ids=["a", "b"]),
    make_filters(token_ids=["c", "d"]),
    make_filters(min_value=5),
    make_filters(token_ids=["a"], min_value=3),
)


class History:
    """A client's session, a gateway, and what each subscription got."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.gateway = GatewayModel(random)
        self.session = make_session(resume=True)
        self.filters: dict[int, Filters] = {}
        self.starts: dict[int, Cursor] = {}
        self.got: dict[int, list[Update]] = {}
        self.numbers = itertools.count(1)
        self.do(come_back(self.session))

    def do(self, effects: Effects) -> None:
        self.gateway.commands.extend(sent(effects))
        for effect in effects:
            assert not isinstance(effect, Finish | Hold), effect
            if isinstance(effect, Deliver) and effect.subscription in self.got:
                self.got[effect.subscription].append(effect.update)

    def publish(self) -> None:
        self.gateway.publish(self.random.choice("abcdef"), self.random.randrange(10))

    def read(self) -> None:
        """Several frames, so that several subscriptions can be on their way."""
        for _ in range(self.random.randrange(1, 6)):
            if not self.gateway.frames:
                return
            frame = self.gateway.frames.popleft()
            self.note_starts(effects := hear(self.session, **frame))
            self.do(effects)

    def note_starts(self, effects: Effects) -> None:
        """A new subscription stands at the cursor of its first confirmation."""
        number = 0
        for effect in effects:
            match effect:
                case Begin(subscription=number):
                    pass
                case Announce(event=Subscribed(cursor=str(cursor))):
                    self.starts.setdefault(number, parse_cursor(cursor))

    def subscribe(self) -> None:
        if len(self.filters) < 6:
            number = next(self.numbers)
            self.filters[number] = self.random.choice(SELECTIONS)
            self.got[number] = []
            log = self.gateway.log[0]
            since = Cursor(EPOCH, {0: len(log) // 2}) if log and self.random.random() < 0.3 else None
            if since is not None:
                self.starts[number] = since
            self.do(self.session.subscribe(number, "prices", self.filters[number], since))

    def leave(self) -> None:
        """At any moment, also before it is confirmed: as an application does whose time limit is over."""
        if self.filters and self.random.random() < 0.3:
            number = self.random.choice(list(self.filters))
            del self.filters[number], self.got[number]
            self.do(self.session.unsubscribe(number))

    def interrupt(self) -> None:
        if self.random.random() < 0.2:
            self.gateway.lose_connection()
            self.session.disconnected(1006, "")
            self.do(come_back(self.session))

    def settle(self) -> None:
        while self.gateway.is_busy:
            self.gateway.take_command()
            self.gateway.replay()
            self.read()

    def expected(self, number: int) -> set[Update]:
        start = self.starts[number]
        return {
            update
            for partition, log in enumerate(self.gateway.log)
            for update in log[start.offsets.get(partition, -1) + 1 :]
            if self.filters[number].matches(update)
        }


def check(history: History) -> None:
    history.settle()
    for number, got in history.got.items():
        assert len(got) == len(set(got)), "twice"
        places = [tuple(map(int, update.id.split(":"))) for update in got]
        for partition in (0, 1):
            offsets = [offset for where, offset in places if where == partition]
            assert offsets == sorted(offsets), f"out of order: {number}"
        missing = history.expected(number) - set(got)
        assert missing <= history.gateway.conflated, f"missing: {number}"
        assert set(got) <= history.expected(number), f"from before the beginning: {number}"


def run(random: Random, *more: Callable[[History], None]) -> None:
    history = History(random)
    gateway = history.gateway
    steps: list[Callable[[], object]] = [history.publish] * 4
    steps += [history.read, history.read, gateway.take_command, gateway.replay, gateway.replay]
    steps += [gateway.heartbeat, history.subscribe, history.interrupt, history.leave]
    steps += [partial(step, history) for step in more]
    for _ in range(STEPS):
        random.choice(steps)()
    check(history)


@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32))
def test_nothing_is_missing_repeated_or_out_of_order(seed: int) -> None:
    run(Random(seed))


@settings(max_examples=100, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32))
def test_a_slow_connection_lacks_only_what_was_superseded(seed: int) -> None:
    run(Random(seed), lambda history: history.gateway.conflate())
