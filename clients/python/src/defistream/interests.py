"""What the session knows of each subscription.

WAITING --ask--> ASKED --subscribed--> LIVE
                 ASKED --subscribed, having asked for the past too--> REPLAYING --its end--> LIVE
ASKED, REPLAYING --refused for now--> HELD --after a while--> WAITING
any state --the connection ended, or another one of its room asks for the past--> WAITING
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from defistream.backoff import Backoff
from defistream.cursors import Position
from defistream.filters import Filters
from defistream.updates import Update


class State(Enum):
    WAITING = auto()
    HELD = auto()
    ASKED = auto()
    REPLAYING = auto()
    LIVE = auto()


@dataclass(slots=True)
class Interest:
    """One subscription. `early`: updates that may be live ones of another room, by partition and offset; only while it replays."""

    number: int
    channel: str
    filters: Filters
    position: Position
    snapshot: bool = False
    state: State = State.WAITING
    room: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    early: dict[int, dict[int, Update]] = field(default_factory=dict)
    spared: bool = False
    """Whether it may have been spared updates: of those that it lacks, what is older than what it had is superseded."""

    @property
    def is_asked(self) -> bool:
        """Whether the server knows of it, or is about to."""
        return self.state in (State.ASKED, State.REPLAYING, State.LIVE)

    def selects_like(self, other: Interest) -> bool:
        """Whether both are one room."""
        return self.channel == other.channel and self.filters == other.filters

    def suspend(self, state: State = State.WAITING) -> None:
        """The server sends nothing for it any more; what it has had stays known."""
        self.state = state
        self.early.clear()
        if self.spared:
            self.position.settle()
            self.spared = False

    def hold_early(self, partition: int, offset: int, update: Update) -> None:
        here = self.early.setdefault(partition, {})
        comes_late = bool(here) and offset < next(reversed(here))
        here[offset] = update
        if comes_late:
            self.early[partition] = dict(sorted(here.items()))

    def pass_early(self, partition: int, offset: int | None = None) -> list[tuple[int, Update]]:
        """Take out the early ones of a partition, up to `offset` where it is given, in order."""
        here = self.early.get(partition, {})
        passed = []
        while here and (offset is None or next(iter(here)) <= offset):
            first = next(iter(here))
            passed.append((first, here.pop(first)))
        if not here:
            self.early.pop(partition, None)
        return passed


class Interests:
    """All subscriptions of a session, by number and by channel."""

    def __init__(self) -> None:
        self._by_number: dict[int, Interest] = {}
        self._by_channel: dict[str, list[Interest]] = {}

    def __iter__(self) -> Iterator[Interest]:
        return iter(tuple(self._by_number.values()))

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self._by_channel)

    def get(self, number: int | None) -> Interest | None:
        return self._by_number.get(number) if number is not None else None

    def of_channel(self, channel: str) -> list[Interest]:
        return self._by_channel.get(channel, [])

    def of_room(self, interest: Interest) -> list[Interest]:
        """Those that are one room with it, itself too."""
        return [other for other in self.of_channel(interest.channel) if other.selects_like(interest)]

    def add(self, interest: Interest) -> None:
        self._by_number[interest.number] = interest
        self._by_channel.setdefault(interest.channel, []).append(interest)

    def remove(self, number: int) -> Interest | None:
        interest = self._by_number.pop(number, None)
        if interest is not None:
            self._by_channel[interest.channel].remove(interest)
        return interest
