"""Ownership of source partitions: what is routed, from which offset on, and what gateways are told of it (docs/adr/0008).

Everything here happens between two awaits: so an activation falls between two updates of a partition, and what is told a slot is in the
order in which it became true.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from common import metrics
from common.channels import SYSTEM, Channel
from common.deliveries import Activated, Item, Progress, TookOver
from common.identifiers import Generation, RoomId, Slot
from router.commits import Commits, Tick
from router.interest import InterestFold, Wanted
from router.lanes import Origin
from router.outgoing import Outgoing
from router.routing import DeadLetter, Routes, SourceRecord, route_broadcasts, route_updates
from router.sources import Source


@dataclass(slots=True)
class Owned:
    """A partition of ours. `next` is the offset to be routed next, `told` the highest progress told to all."""

    generation: Generation
    next: int
    told: int


class Ownership:
    """The partitions that this router owns, and all that it says about them."""

    def __init__(self, fold: InterestFold, outgoing: Outgoing, commits: Commits[Source]) -> None:
        self._fold = fold
        self._outgoing = outgoing
        self._commits = commits
        self._owned: dict[Source, Owned] = {}
        self._awaited: dict[Source, dict[tuple[Slot, RoomId], Wanted]] = {}

    @property
    def sources(self) -> Collection[Source]:
        return self._owned.keys()

    def expect(self, sources: Iterable[Source]) -> None:
        """These are about to be taken: interest that comes meanwhile is answered then."""
        self._awaited.update({source: {} for source in sources})

    def take(self, source: Source, generation: Generation, start: int) -> None:
        """Own a partition from offset `start` on, and tell every live slot. Call when interest is read to its end."""
        self._owned[source] = Owned(generation, start, start - 1)
        metrics.router_takeovers_total.inc()
        metrics.router_partitions.set(len(self._owned))
        for slot in self._fold.live():
            self._outgoing.add(slot, self._origin(source), [TookOver(start, dict(self._fold.read))])
        for wanted in self._awaited.pop(source, {}).values():
            self._answer(source, wanted)

    def drop(self, sources: Iterable[Source]) -> None:
        """These are ours no more, and none is expected."""
        for source in list(sources):
            self._owned.pop(source, None)
        self._awaited.clear()
        metrics.router_partitions.set(len(self._owned))

    def activate(self, wanted: Sequence[Wanted]) -> None:
        """Answer interest: from here on every update of our partitions of the channel is routed to the room."""
        for each in wanted:
            for source, awaited in self._awaited.items():
                if source[0] == each.channel:
                    awaited[each.slot, each.room] = each
            for source in self._owned:
                if source[0] == each.channel:
                    self._answer(source, each)

    def tell_progress(self) -> None:
        """Tell how far each partition has come that moved since this was called last, to slots with rooms of its channel."""
        for source, owned in self._owned.items():
            done = owned.next - 1
            if done > owned.told:
                owned.told = done
                for slot in self._interested(source[0]):
                    self._outgoing.add(slot, self._origin(source), [Progress(done)])

    def route(self, batch: Mapping[Source, Sequence[SourceRecord]]) -> tuple[Tick, list[DeadLetter]] | None:
        """Route a tick. Its dead letters are still to be sent, each a part of the tick; `None` where nothing was ours."""
        told: dict[Slot, list[tuple[Origin, list[Item]]]] = {}
        letters: list[DeadLetter] = []
        ends: dict[Source, int] = {}
        for source, records in batch.items():
            owned = self._owned.get(source)
            new = [record for record in records if record.offset >= owned.next] if owned is not None else []
            if owned is None or not new:
                continue
            routes = self._routes(source, new)
            owned.next = ends[source] = new[-1].offset + 1
            for slot, items in routes.items.items():
                told.setdefault(slot, []).append((self._origin(source), items))
            letters += [_letter(source, record, reason) for record, reason in routes.dead]
        if not ends:
            return None
        tick = self._commits.begin(ends, parts=len(told) + len(letters))
        for slot, runs in told.items():
            for n, (origin, items) in enumerate(runs, start=1):
                self._outgoing.add(slot, origin, items, tick=tick if n == len(runs) else None)
        return tick, letters

    def _answer(self, source: Source, wanted: Wanted) -> None:
        answer = Activated(wanted.room, self._owned[source].next, wanted.request)
        self._outgoing.add(wanted.slot, self._origin(source), [answer])
        metrics.router_activations_total.inc()

    def _routes(self, source: Source, records: Sequence[SourceRecord]) -> Routes:
        name, partition = source
        if name == SYSTEM:
            routes = route_broadcasts(partition, records, self._fold.index, self._fold.live())
        else:
            routes = route_updates(Channel(name), partition, records, self._fold.index)
        metrics.router_updates_total.labels(name).inc(routes.updates)
        metrics.router_matched_rooms_total.inc(routes.matched)
        return routes

    def _origin(self, source: Source) -> Origin:
        name, partition = source
        return Origin(name, partition, self._owned[source].generation, self._fold.streams.get(name, ""))

    def _interested(self, name: str) -> Iterable[Slot]:
        return self._fold.live() if name == SYSTEM else self._fold.index.channel(Channel(name)).slots()


def _letter(source: Source, record: SourceRecord, reason: str) -> DeadLetter:
    name, partition = source
    return DeadLetter(reason, name, partition, record.offset, record.key, record.value)
