"""Ownership of source partitions: what is routed, from which offset on, and what gateways are told of it (docs/adr/0008).

Everything here happens between two awaits: so an activation falls between two updates of a partition, and what is told a slot is in the
order in which it became true.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from common import metrics
from common.channels import STATE_CHANNELS, SYSTEM, Channel
from common.deliveries import Activated, EncodedItem, Item, Progress, TookOver
from common.identifiers import FencingEpoch, Generation, RoomId, Slot
from router.commits import Commits, Tick
from router.interest import InterestFold, Past, Taken, Wanted
from router.lanes import Origin
from router.latest import Latest
from router.outgoing import Outgoing
from router.recent import Recent
from router.replay import Ask
from router.routing import DeadLetter, Routes, SourceRecord, route_broadcasts, route_updates
from router.sources import Source

_offset = attrgetter("offset")


def new_recent(first: int) -> Recent:
    """A ring within the default bounds (`router.settings`)."""
    return Recent(first, limit=20_000, limit_bytes=32 * 1024 * 1024)


@dataclass(slots=True, eq=False)
class Owned:
    """A partition of ours. `next` is the offset to be routed next, `told` the highest progress that we told to all.

    `latest` is there for state channels only. `stream` is the epoch under which it was taken.
    """

    generation: Generation
    next: int
    told: int
    recent: Recent
    latest: Latest | None
    stream: str = ""

    def keep(self, routes: Routes, end: int) -> None:
        """What was routed, for those who will ask for it."""
        self.next = end
        self.recent.add(routes.entries)
        if self.latest is not None:
            self.latest.route(routes.entries, routes.removals, end)


class Ownership:
    """The partitions that this router owns, and all that it says about them. `recent(first)` makes a ring of recent updates."""

    def __init__(
        self,
        fold: InterestFold,
        outgoing: Outgoing,
        commits: Commits[Source],
        *,
        recent: Callable[[int], Recent] = new_recent,
    ) -> None:
        self._fold = fold
        self._outgoing = outgoing
        self._commits = commits
        self._new_recent = recent
        self._owned: dict[Source, Owned] = {}
        self._kept: dict[Source, tuple[str, int, Recent]] = {}
        self._awaited: dict[Source, dict[tuple[Slot, RoomId, int], Wanted]] = {}

    @property
    def sources(self) -> Collection[Source]:
        return self._owned.keys()

    def expect(self, sources: Iterable[Source]) -> None:
        """These are about to be taken: interest that comes meanwhile is answered then."""
        self._awaited.update({source: {} for source in sources})

    def owned(self) -> Mapping[Source, Owned]:
        """Those that we own now."""
        return dict(self._owned)

    def stream(self, source: Source) -> str:
        """The epoch of the source's stream, where we own it that under which we took it."""
        owned = self._owned.get(source)
        return owned.stream if owned is not None else self._fold.streams.get(source[0], "")

    def outdated(self) -> Collection[str]:
        """Channels of ours that another router has found to be another stream since: to be taken over again."""
        streams = self._fold.streams
        return {source[0] for source, owned in self._owned.items() if owned.stream != streams.get(source[0], "")}

    def take(self, source: Source, generation: Generation, start: int, *, lost: bool = False) -> Sequence[Ask]:
        """Own a partition from offset `start` on, and tell every live slot. Call when interest is read to its end.

        `lost`: something before `start` was deleted before anybody had routed it. Returns what was asked of its past meanwhile.
        """
        latest = Latest(start) if source[0] in STATE_CHANNELS else None
        # What no room matched may have been committed without being told to anybody: so our start is told as progress too.
        recent, stream = self._recent(source, start), self.stream(source)
        self._owned[source] = Owned(generation, start, -1, recent, latest, stream)
        metrics.router_takeovers_total.inc()
        metrics.router_partitions.set(len(self._owned))
        live = self._fold.live()
        # Nothing that we route is committed before every slot has this: a room that we had not read yet is asked for again only by who
        # knows of us, and our successor, which has read it, would begin beyond what it missed.
        tick = self._commits.begin({}, parts=len(live))
        for slot in live:
            took_over = TookOver(start, dict(self._fold.read), lost)
            self._outgoing.add(slot, self._origin(source), [took_over], tick=tick)
        awaited = self._awaited.pop(source, {}).values()
        return [ask for wanted in awaited if (ask := self._answer(source, wanted)) is not None]

    def drop(self, sources: Iterable[Source]) -> None:
        """These are ours no more, and none is expected."""
        for source in list(sources):
            owned = self._owned.pop(source, None)
            if owned is not None:
                self._kept[source] = owned.stream, owned.next, owned.recent
        self._awaited.clear()
        metrics.router_partitions.set(len(self._owned))

    def answer(self, records: Iterable[Wanted | Taken]) -> Sequence[tuple[Source, Ask]]:
        """Answer interest. Returns what cannot be answered at once: what is asked of the past, of each partition of ours."""
        asks: list[tuple[Source, Ask]] = []
        for each in records:
            if isinstance(each, Taken):
                self._tell_all(each.slot)
                continue
            for source, awaited in self._awaited.items():
                if source[0] == each.channel:
                    # A room's latest plain record speaks for those before; what is asked of the past is each for itself.
                    awaited[each.slot, each.room, each.request if each.past is not None else 0] = each
            mine = [source for source in self._owned if source[0] == each.channel]
            asks += [(source, ask) for source in mine if (ask := self._answer(source, each)) is not None]
        return asks

    def _answer(self, source: Source, wanted: Wanted) -> Ask | None:
        """At once, or return what is asked of the past; nothing for a holder of the slot who is none any more."""
        if not self.is_held(wanted.slot, wanted.epoch):
            return None
        if wanted.past is not None:
            return ask_of(wanted, wanted.past, source[1])
        self._outgoing.add(wanted.slot, self._origin(source), [self.activated(self._owned[source], wanted)])
        return None

    @staticmethod
    def activated(owned: Owned, asked: Wanted | Ask) -> Activated:
        """From here on every update of the partition is routed to the room: to be sent before the next is routed."""
        metrics.router_activations_total.inc()
        room = asked.room if isinstance(asked, Wanted) else asked.room.id
        return Activated(room, owned.next, asked.request)

    def tell(self, source: Source, slot: Slot, epoch: FencingEpoch, items: Sequence[Item]) -> None:
        """Tell a slot something of a partition of ours, unless it has another holder since `epoch`."""
        if self.is_held(slot, epoch):
            self._outgoing.add(slot, self._origin(source), items)

    def is_held(self, slot: Slot, epoch: FencingEpoch) -> bool:
        """Whether the slot has no newer holder."""
        return self._fold.epoch(slot) == epoch

    def _tell_all(self, slot: Slot) -> None:
        """A slot with a new gateway is told at once how far all our partitions have come."""
        for source, owned in self._owned.items():
            self._outgoing.add(slot, self._origin(source), [Progress(owned.next - 1)])

    def tell_progress(self) -> None:
        """Tell how far each partition has come that moved since this was called last, to slots with rooms of its channel."""
        for source, owned in self._owned.items():
            done = owned.next - 1
            if done > owned.told:
                owned.told = done
                for slot in self._interested(source[0]):
                    self._outgoing.add(slot, self._origin(source), [Progress(done)])

    def rewound(self, batch: Mapping[Source, Sequence[SourceRecord]]) -> Collection[str]:
        """Channels of which a partition begins again below what was routed: these are other records than those."""
        owned = self._owned
        return {
            source[0] for source, records in batch.items() if source in owned and records[0].offset < owned[source].next
        }

    def skipped(self, batch: Mapping[Source, Sequence[SourceRecord]]) -> Collection[Source]:
        """Partitions that go on beyond what was to follow: that was compacted away, or deleted before we had it."""
        owned = self._owned
        return [
            source for source, records in batch.items() if source in owned and records[0].offset > owned[source].next
        ]

    def route(self, batch: Mapping[Source, Sequence[SourceRecord]]) -> tuple[Tick, list[DeadLetter]] | None:
        """Route a tick. Its dead letters are still to be sent, each a part of the tick; `None` where nothing was ours."""
        told: dict[Slot, list[tuple[Origin, list[EncodedItem]]]] = {}
        letters: list[DeadLetter] = []
        ends: dict[Source, int] = {}
        for source, records in batch.items():
            owned = self._owned.get(source)
            new = records[bisect_left(records, owned.next, key=_offset) :] if owned is not None else ()
            if owned is None or not new:
                continue
            routes = self._routes(source, new)
            ends[source] = new[-1].offset + 1
            owned.keep(routes, ends[source])
            for slot, items in routes.items.items():
                told.setdefault(slot, []).append((self._origin(source), items))
            letters += [_letter(source, record, reason) for record, reason in routes.dead]
        if not ends:
            return None
        tick = self._commits.begin(ends, parts=len(told) + len(letters))
        for slot, runs in told.items():
            for n, (origin, items) in enumerate(runs, start=1):
                self._outgoing.add_encoded(slot, origin, items, tick=tick if n == len(runs) else None)
        return tick, letters

    def _routes(self, source: Source, records: Sequence[SourceRecord]) -> Routes:
        name, partition = source
        if name == SYSTEM:
            routes = route_broadcasts(partition, records, self._fold.index, self._fold.live())
        else:
            routes = route_updates(Channel(name), partition, records, self._fold.index)
        metrics.router_updates_total.labels(name).inc(routes.updates)
        metrics.router_matched_rooms_total.inc(routes.matched)
        return routes

    def _recent(self, source: Source, start: int) -> Recent:
        """The ring from when we owned the partition before, where nothing was routed since."""
        stream, upto, recent = self._kept.pop(source, ("", -1, None))
        if recent is not None and (stream, upto) == (self.stream(source), start):
            return recent
        return self._new_recent(start)

    def _origin(self, source: Source) -> Origin:
        name, partition = source
        return Origin(name, partition, self._owned[source].generation, self.stream(source))

    def _interested(self, name: str) -> Iterable[Slot]:
        return self._fold.live() if name == SYSTEM else self._fold.index.channel(Channel(name)).slots()


def _letter(source: Source, record: SourceRecord, reason: str) -> DeadLetter:
    name, partition = source
    return DeadLetter(reason, name, partition, record.offset, record.key, record.value)


def ask_of(wanted: Wanted, past: Past, partition: int) -> Ask:
    """What a record asks of one partition."""
    had = past.since.get(partition, -1) if past.since is not None else None
    return Ask(wanted.slot, wanted.epoch, past.room, wanted.request, had, past.stream, past.snapshot)
