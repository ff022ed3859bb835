"""One rule taken away from the product's own parts: what the simulation must find."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from common.backoff import Backoff
from gateway.activation import Activation
from gateway.catching import CatchingUp
from gateway.positions import Positions
from gateway.recent import Recent, RecentRoom
from gateway.slot import Slots
from router import bootstrap
from router.commits import Commits
from router.passes import Passes
from router.reaper import Reaper
from tests.simulation import scenes
from tests.simulation.memory_redis import MemoryRedis
from tests.simulation.world import World

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Mutation:
    """`change` makes of a method of a class, or a function of a module, the wrong one.

    `faults`: those by which it shows, where any will not do (`tests.simulation.world`); `scene`: what it shows by, where chance draws that
    too seldom.
    """

    part: Any
    method: str
    change: Callable[[Method], Method]
    faults: Mapping[str, int] | None = None
    scene: Callable[[World], None] | None = None


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


def _always(_original: Method) -> Method:
    return lambda *_args: True


def _tell_nobody(_fence: Method) -> Method:
    async def nothing(*_args: Any) -> None: ...

    return nothing


def _keep_the_claim(_confirm: Method) -> Method:
    async def claimed(_slots: Any, lease: Any) -> Any:
        return lease

    return claimed


def _take_any_checkpoint(written: Method) -> Method:
    def whatever(self: Any, keys: Any, args: Any) -> Any:
        has = self.read(keys[0], "offset")[0] or ""
        return written(self, keys, [*args[:3], has, *args[4:]])

    return whatever


def _take_any_request(activated: Method) -> Method:
    def whatever(self: Any, room_id: Any, partition: int, request: int) -> None:
        state = self._rooms.get(room_id)
        activated(self, room_id, partition, state.request if state is not None else request)

    return whatever


def _forget_what_each_had(replayed: Method) -> Method:
    def forgetful(self: Any, item: Any, partition: int, frame: bytes, *, now: float) -> Any:
        for group in self._asked.values():
            for catch_up in group.members.values():
                catch_up.had[partition] = -1
        return replayed(self, item, partition, frame, now=now)

    return forgetful


def _take_whatever_is_there(_has_seen: Method) -> Method:
    return lambda _recorded, _offsets: True


def _without_jitter(_next: Method) -> Method:
    def whole(self: Any) -> float:
        self._failures += 1
        return float(min(self.most, self.first * 2.0 ** (self._failures - 1)))

    return whole


_STALLS = {"stall_router": 4, "go_on": 4, "disconnect": 1, "unsubscribe": 3, "subscribe": 4}
_CALM = {"disconnect": 2}
STEADY = Mutation(Backoff, "next", _without_jitter)
"""No rule: it lets a seed repeat its history."""
MUTATIONS = {
    "a commit before the acknowledgement": Mutation(Commits, "begin", _commit_before_the_acknowledgement),
    "an activation without catch-up": Mutation(Passes, "_replay", _activate_without_the_past),
    "a repeat not dropped": Mutation(Positions, "advance", _take_repeats_for_new),
    "a stalled owner not fenced": Mutation(Positions, "accept", _hear_former_owners, _STALLS),
    "rooms not asked for again at a takeover": Mutation(
        Activation, "took_over", _do_nothing, scene=scenes.answered_by_a_former_owner
    ),
    "a cursor told during recovery": Mutation(Positions, "recover", _do_nothing, _STALLS),
    "an activation of an older request taken": Mutation(Activation, "activated", _take_any_request),
    "a Redis taken that was emptied meanwhile": Mutation(
        bootstrap, "_has_seen", _take_whatever_is_there, scene=scenes.emptied_in_between
    ),
    "a gateway not told that its slot was taken": Mutation(
        Reaper, "_fence", _tell_nobody, scene=scenes.reaped_and_emptied
    ),
    "a slot not confirmed": Mutation(Slots, "confirm", _keep_the_claim, scene=scenes.reaped_before_it_reads),
    "changes written to any checkpoint": Mutation(
        MemoryRedis, "_written", _take_any_checkpoint, scene=scenes.put_back_between_checkpoints
    ),
    "replays not filtered by what each had": Mutation(CatchingUp, "replayed", _forget_what_each_had),
    "what a room was sent kept without what came live": Mutation(Recent, "routed", _do_nothing, _CALM),
    "what a room was sent given to whoever asks": Mutation(RecentRoom, "covers", _always, _CALM),
}
