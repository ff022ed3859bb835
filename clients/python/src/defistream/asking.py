"""When a subscription is asked for, with which others, and how. Pure.

The server knows rooms: equal filters are one subscription there, and one that asks for the past takes the place of the one before.
An update comes once for all rooms that select it, and does not say for which. So:

- subscriptions of one room ask for the past together, from the least that any of them had;
- of rooms of a channel that may select the same update, one replays at a time; one that is asked for, but not wanted any more, is in
  the way until it is answered and left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from defistream.cursors import Cursor
from defistream.interests import Interest, Interests, State


@dataclass(slots=True)
class Ask:
    """One command. Subscriptions leave `interests` when the application has done with them; the answer still comes."""

    lead: Interest
    interests: list[Interest]
    since: Cursor | None = None
    snapshot: bool = False

    @property
    def past(self) -> bool:
        return self.snapshot or self.since is not None


def plan(interest: Interest, interests: Interests, *, unwanted: Sequence[Interest] = (), resume: bool) -> Ask | None:
    """How to ask for it; `None` while it has to wait for others. `unwanted`: asked for, and left before the answer."""
    wanted = _of(interest, resume=resume)
    same = interests.of_room(interest)
    others = [other for other in (*interests.of_channel(interest.channel), *unwanted) if other is not interest]
    if any(_is_under_way(other) and other.selects_like(interest) for other in others):
        return None
    if not wanted.past:
        return wanted
    if any(_is_under_way(other) and other.filters.may_overlap(interest.filters) for other in others):
        return None
    return _together(wanted, same, resume=resume)


def _of(interest: Interest, *, resume: bool) -> Ask:
    cursor = interest.position.cursor if resume else None
    return Ask(interest, [interest], cursor, interest.snapshot)


def _is_under_way(other: Interest) -> bool:
    return other.state in (State.ASKED, State.REPLAYING)


def _together(wanted: Ask, same: Iterable[Interest], *, resume: bool) -> Ask:
    """With a cursor: all of the room that have one of the same stream. Without: all that want just the last values."""
    joined, cursors = [], []
    for other in same:
        ask = _of(other, resume=resume)
        if other.state is State.HELD or _epoch(ask.since) != _epoch(wanted.since) or not ask.past:
            continue
        joined.append(other)
        cursors += [ask.since] if ask.since is not None else []
    since = reduce(Cursor.least, cursors) if cursors else None
    return Ask(wanted.lead, joined, since, all(other.snapshot for other in joined))


def _epoch(cursor: Cursor | None) -> str | None:
    return cursor.epoch if cursor is not None else None
