"""Whose an update is: one connection gets it once, however many of its subscriptions select it, and whatever it was sent for. Pure.

A subscription gets its updates in the order of their offsets. Its replay comes in that order, and updates of other rooms, which it
may select too, come in between, ahead of it: of rooms that are live, that are about to be, and that are being left. Such a one is
`early`, and waits: either the replay brings it again in its place, or it was a live one of this subscription as well, and is due before
whatever comes next. Which of them it is shows then.
"""

from __future__ import annotations

from collections.abc import Sequence

from defistream.asking import Ask
from defistream.cursors import parse_place
from defistream.effects import Deliver, Effects
from defistream.interests import Interest, State
from defistream.updates import Update

_HEARD = (State.LIVE, State.REPLAYING)


class Sharing:
    """What replays on this connection, and who gets what of what comes."""

    def __init__(self) -> None:
        self._replaying: dict[int, Ask] = {}

    def clear(self) -> None:
        """The connection ended."""
        self._replaying.clear()

    def begin(self, command: int, ask: Ask) -> None:
        """The past that was asked for follows."""
        self._replaying[command] = ask

    def end(self, command: int) -> Ask | None:
        """It has come, or will not. `None` where that is not known."""
        return self._replaying.pop(command, None)

    def leave(self, interest: Interest) -> None:
        for ask in self._replaying.values():
            if interest in ask.interests:
                ask.interests.remove(interest)

    def deliver(self, update: Update, interests: Sequence[Interest], *, alone: bool) -> Effects:
        """`alone`: no room sends updates of the channel but those of `interests` that the server was asked for."""
        heard = [one for one in interests if one.state in _HEARD]
        place = parse_place(update.id)
        if place is None:
            return tuple(Deliver(one.number, update, None) for one in heard if one.filters.matches(update))
        asked = [one for one in interests if one.is_asked]
        if alone and all(one.filters == asked[0].filters and not one.early for one in asked):
            return self._to_one_room(update, place, heard)
        strays = not alone or any(one.state is State.ASKED and one.filters.matches(update) for one in asked)
        return self._to_several(update, place, [one for one in heard if one.filters.matches(update)], strays=strays)

    @staticmethod
    def _to_one_room(update: Update, place: tuple[int, int], heard: Sequence[Interest]) -> Effects:
        """Nothing older of this partition is owed, so cursors move on; last values alone leave out what is between them."""
        effects = []
        for one in heard:
            moves = one.state is State.LIVE or not one.snapshot
            if one.position.take(*place, moves=moves):
                effects.append(Deliver(one.number, update, place if moves else None))
        return tuple(effects)

    @staticmethod
    def _to_several(update: Update, place: tuple[int, int], matching: Sequence[Interest], *, strays: bool) -> Effects:
        """`strays`: it may be of a room that is not confirmed yet, or that nobody here wants any more."""
        live = [one for one in matching if one.state is State.LIVE and _is_new(one, place)]
        effects = [Deliver(one.number, update, None) for one in live]
        is_early = bool(effects) or strays
        for one in matching:
            if one.state is State.REPLAYING and is_early:
                one.hold_early(*place, update)
            elif one.state is State.REPLAYING:
                effects += _in_place(one, place, update)
        return tuple(effects)


def release(interest: Interest) -> Effects:
    """A replay has ended: what was early and did not come again was live."""
    effects: list[Deliver] = []
    for partition in tuple(interest.early):
        effects += _take(interest, partition, interest.pass_early(partition))
    return tuple(effects)


def _is_new(interest: Interest, place: tuple[int, int]) -> bool:
    spared = interest.spared and interest.position.is_beyond(*place)
    return not spared and interest.position.take(*place, moves=False)


def _in_place(interest: Interest, place: tuple[int, int], update: Update) -> list[Deliver]:
    """An update of the replay, or a live one of this room alone; early ones below it do not come again."""
    partition, offset = place
    return _take(interest, partition, [*interest.pass_early(partition, offset), (offset, update)])


def _take(interest: Interest, partition: int, updates: Sequence[tuple[int, Update]]) -> list[Deliver]:
    return [
        Deliver(interest.number, update, None)
        for offset, update in updates
        if interest.position.take(partition, offset, moves=False)
    ]
