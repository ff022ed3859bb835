"""The product's parts with one rule taken away each: what the simulation must find."""

from __future__ import annotations

from typing import Any

from gateway.activation import Activation
from gateway.catching import CatchingUp
from gateway.positions import Positions, Source


class RepeatsSentAgain(Positions):
    def advance(self, channel: str, source: Source, offset: int) -> bool:
        super().advance(channel, source, offset)
        return True


class CursorAhead(Positions):
    """Heartbeats tell the progress also while a room is being recovered."""

    def recover(self, channel: str, partition: int, change: int) -> None: ...


class LevelTooSoon(Positions):
    """Who catches up is done although the present owner still repeats."""

    def is_level(self, channel: str) -> bool:
        return True


class NotAskedAgain(Activation):
    """Rooms that the new owner has not read are not asked for again."""

    def took_over(self, *_args: Any, **_options: Any) -> None: ...


class AnyRequest(Activation):
    """An activation of an earlier request is taken for the present one."""

    def activated(self, room_id: Any, partition: int, request: int) -> None:
        state = self._rooms.get(room_id)
        super().activated(room_id, partition, state.request if state is not None else request)


class OwnOffsetsForgotten(CatchingUp):
    """Replays are not filtered by what a connection had."""

    def replayed(self, item: Any, partition: int, *, now: float) -> Any:
        for group in self._asked.values():
            for catch_up in group.members.values():
                catch_up.had[partition] = -1
        return super().replayed(item, partition, now=now)


ROUTER = ("early-commit",)
GATEWAY: dict[str, type[Any]] = {
    "repeats-sent-again": RepeatsSentAgain,
    "cursor-ahead": CursorAhead,
    "level-too-soon": LevelTooSoon,
    "not-asked-again": NotAskedAgain,
    "any-request": AnyRequest,
    "own-offsets-forgotten": OwnOffsetsForgotten,
}
DELIVERIES = ("no-generation",)
ALL = (*ROUTER, *GATEWAY, *DELIVERIES)


def part(mutation: str, base: type[Any]) -> type[Any]:
    """The part to use for `base`."""
    found = GATEWAY.get(mutation)
    return found if found is not None and issubclass(found, base) else base
