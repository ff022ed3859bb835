"""What the session knows of each subscription.

WAITING --ask--> ASKED --subscribed--> LIVE
                 ASKED --subscribed, having asked with `since`--> REPLAYING --replay_end--> LIVE
any state --refused for now, or the connection ended--> WAITING
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
    ASKED = auto()
    REPLAYING = auto()
    LIVE = auto()


@dataclass(slots=True)
class Interest:
    """One subscription. `early`: updates that came before `subscribed`, and so before their stream's epoch was known."""

    number: int
    channel: str
    filters: Filters
    position: Position
    state: State = State.WAITING
    room: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    early: list[Update] = field(default_factory=list)

    def selects_like(self, other: Interest) -> bool:
        """Whether both are one room."""
        return self.channel == other.channel and self.filters == other.filters

    def suspend(self) -> None:
        """The connection ended."""
        self.state = State.WAITING
        self.early.clear()


class Interests:
    """All subscriptions of a session, by number and by channel."""

    def __init__(self) -> None:
        self._by_number: dict[int, Interest] = {}
        self._by_channel: dict[str, list[Interest]] = {}

    def __iter__(self) -> Iterator[Interest]:
        return iter(tuple(self._by_number.values()))

    def get(self, number: int | None) -> Interest | None:
        return self._by_number.get(number) if number is not None else None

    def of_channel(self, channel: str) -> list[Interest]:
        return self._by_channel.get(channel, [])

    def add(self, interest: Interest) -> None:
        self._by_number[interest.number] = interest
        self._by_channel.setdefault(interest.channel, []).append(interest)

    def remove(self, number: int) -> Interest | None:
        interest = self._by_number.pop(number, None)
        if interest is not None:
            self._by_channel[interest.channel].remove(interest)
        return interest

    def wants(self, interest: Interest) -> bool:
        """Whether a subscription of the same room is still there."""
        return any(other.selects_like(interest) for other in self.of_channel(interest.channel))
