"""One rule taken away from the product's own parts: what the simulation must find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

from common.backoff import Backoff
from gateway.activation import Activation
from gateway.catching import CatchingUp
from gateway.positions import Positions
from router.commits import Commits
from router.interest_log import STREAMS, InterestLog
from router.latest import Latest
from router.passes import Passes

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Mutation:
    """`change` makes of a method the wrong one."""

    part: type[Any]
    method: str
    change: Callable[[Method], Method]


@contextlib.contextmanager
def mutated(mutation: Mutation) -> Iterator[None]:
    original = getattr(mutation.part, mutation.method)
    setattr(mutation.part, mutation.method, wraps(original)(mutation.change(original)))
    try:
        yield
    finally:
        setattr(mutation.part, mutation.method, original)


def _commit_before_the_acknowledgement(begin: Method) -> Method:
    return lambda self, offsets, *, parts: begin(self, offsets, parts=0)


def _activate_without_the_past(_replay: Method) -> Method:
    async def replay(self: Any, target: Any, _matching: Any, asks: Any) -> None:
        for ask in asks:
            self._activate(target, ask)

    return replay


def _own_before_interest_is_read(catch_up: Method) -> Method:
    async def at_once(self: Any) -> None:
        if not set(STREAMS) <= set(self.fold.streams):
            await catch_up(self)

    return at_once


def _take_repeats_for_new(advance: Method) -> Method:
    def always_new(self: Any, channel: str, source: Any, offset: int) -> bool:
        advance(self, channel, source, offset)
        return True

    return always_new


def _hear_former_owners(accept: Method) -> Method:
    def any_generation(self: Any, channel: str, partition: int, generation: int, epoch: str) -> Any:
        latest = self.source(channel, partition).generation
        return accept(self, channel, partition, max(generation, latest), epoch)

    return any_generation


def _do_nothing(_original: Method) -> Method:
    return lambda *_args, **_options: None


def _take_any_request(activated: Method) -> Method:
    def whatever(self: Any, room_id: Any, partition: int, request: int) -> None:
        state = self._rooms.get(room_id)
        activated(self, room_id, partition, state.request if state is not None else request)

    return whatever


def _say_yes(_original: Method) -> Method:
    return lambda *_args, **_options: True


def _forget_what_each_had(replayed: Method) -> Method:
    def forgetful(self: Any, item: Any, partition: int, *, now: float) -> Any:
        for group in self._asked.values():
            for catch_up in group.members.values():
                catch_up.had[partition] = -1
        return replayed(self, item, partition, now=now)

    return forgetful


def _lose_removals(route: Method) -> Method:
    return lambda self, entries, _removals, upto: route(self, entries, (), upto)


def _without_jitter(_next: Method) -> Method:
    def whole(self: Any) -> float:
        self._failures += 1
        return min(self.most, self.first * 2.0 ** (self._failures - 1))

    return whole


STEADY = Mutation(Backoff, "next", _without_jitter)
"""No rule: it lets a seed repeat its history."""
MUTATIONS = {
    "a commit before the acknowledgement": Mutation(Commits, "begin", _commit_before_the_acknowledgement),
    "an activation without catch-up": Mutation(Passes, "_replay", _activate_without_the_past),
    "a partition owned before interest is read": Mutation(InterestLog, "catch_up", _own_before_interest_is_read),
    "a repeat not dropped": Mutation(Positions, "advance", _take_repeats_for_new),
    "a stalled owner not fenced": Mutation(Positions, "accept", _hear_former_owners),
    "rooms not asked for again at a takeover": Mutation(Activation, "took_over", _do_nothing),
    "a cursor told during recovery": Mutation(Positions, "recover", _do_nothing),
    "an activation of an older request taken": Mutation(Activation, "activated", _take_any_request),
    "caught up while the owner still repeats": Mutation(Positions, "is_level", _say_yes),
    "replays not filtered by what each had": Mutation(CatchingUp, "replayed", _forget_what_each_had),
    "a removal not taken from the last values": Mutation(Latest, "route", _lose_removals),
}
