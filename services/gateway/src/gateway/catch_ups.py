"""A connection that catches up, those that ask together, and what each is told; `gateway.catching` moves them on. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from common.cursor import Cursor
from common.rooms import Room
from gateway.members import Member
from gateway.recent import RecentRoom


class Listener(Protocol):
    """What a subscribe with `since` or `snapshot` is told."""

    def begun(self) -> None:
        """The first answer came: the frames follow."""
        ...

    def caught_up(self, frames: int, *, snapshot: bool) -> None:
        """Everything asked for was sent, and the connection is live. `snapshot`: a partition gave one."""
        ...

    def expired(self, message: str, oldest: Cursor) -> None:
        """The cursor cannot be served; `oldest` is the earliest one that could be."""
        ...

    def refused(self, message: str) -> None:
        """The cursor names what is not there yet."""
        ...

    def failed(self, message: str) -> None:
        """No answer in time."""
        ...


@dataclass(slots=True, eq=False)
class CatchUp:
    """One connection on its way. `had`: partition -> last offset that it had, or that does not concern it."""

    member: Member
    room: Room
    since: Cursor | None
    snapshot: bool
    listener: Listener
    had: dict[int, int]
    frames: int = 0
    begun: bool = False
    snapshots: set[int] = field(default_factory=set)
    """Partitions that gave their last values."""


@dataclass(slots=True, eq=False)
class Group:
    """Those that ask for the same room under one interest record."""

    room: Room
    stream: str | None
    snapshot: bool
    request: int = 0
    asked_at: float = 0.0
    asked: dict[int, int] | None = None
    """Partition -> offset beyond which it was asked for; `None` before that, and where all is asked for."""
    heard_at: float = 0.0
    members: dict[Member, CatchUp] = field(default_factory=dict)
    joined: set[int] = field(default_factory=set)
    """Partitions whose live updates reach the group."""
    verdicts: dict[int, int] = field(default_factory=dict)
    oldest: dict[int, int] = field(default_factory=dict)
    recent: RecentRoom | None = None
    """Takes what the group is replayed, for those who come later."""

    def covers(self, catch_up: CatchUp) -> bool:
        """Whether its answer, of which nothing came yet, has all that this one wants."""
        if self.verdicts:
            return False
        return self.asked is None or all(catch_up.had.get(each, -1) >= had for each, had in self.asked.items())

    def begin(self) -> None:
        """Tell those that were not told yet that the frames follow."""
        for each in [each for each in self.members.values() if not each.begun]:
            each.begun = True
            each.listener.begun()
