"""Replay: what a room's interest record asks of the past of one partition, and how it is answered (DESIGN section 7). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from common.deliveries import Replayed, Verdict, unpack_rooms
from common.identifiers import FencingEpoch, RoomId, Slot
from common.rooms import Room
from common.updates import frame_json
from router.index import RoomsIndex
from router.recent import Entry

_MOST_ANSWERS = 10_000
"""In one item, which must fit into a record."""

_PAUSE_PASSES, _PAUSE_SECONDS_AN_ASK, _MOST_PAUSE_SECONDS = 10.0, 0.02, 2.0

AskKey = tuple[Slot, FencingEpoch, RoomId, int]


class Origins(Enum):
    """Where an answer comes from: each has its own queue, so that none waits for a slower one."""

    RECENT = "recent"
    KAFKA = "kafka"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Ask:
    """A room asks one partition for what follows `had` (-1: for all that it holds), or for a snapshot (`had` is `None`), or for either."""

    slot: Slot
    epoch: FencingEpoch
    """The slot's when it asked: another holder of the slot gets none of the answer."""
    room: Room
    request: int
    had: int | None
    stream: str | None = None
    snapshot: bool = False

    @property
    def key(self) -> AskKey:
        """The same for an ask that repeats another."""
        return self.slot, self.epoch, self.room.id, self.request

    def origin(self, first_recent: int) -> Origins:
        if self.had is None:
            return Origins.LATEST
        return Origins.RECENT if self.had + 1 >= first_recent else Origins.KAFKA


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first offset that a partition holds, and the one that its next record will get."""

    oldest: int
    end: int


def judge(ask: Ask, bounds: Bounds, *, stream: str) -> Verdict:
    """What the partition gives for the ask. `stream` is the epoch of its channel.

    A cursor beyond what is routed, yet not beyond the end, is good: the owner before this one had come further than it committed.
    """
    refused = _refused(ask, bounds, stream)
    if refused is None:
        return Verdict.REPLAY
    return Verdict.SNAPSHOT if ask.snapshot else refused


def _refused(ask: Ask, bounds: Bounds, stream: str) -> Verdict | None:
    if ask.had is None:
        return Verdict.SNAPSHOT
    if ask.stream and ask.stream != stream:
        return Verdict.EXPIRED
    if ask.had >= bounds.end and ask.had >= 0:
        return Verdict.FUTURE
    return Verdict.EXPIRED if 0 <= ask.had < bounds.oldest - 1 else None


@dataclass(slots=True)
class Queue:
    """The asks of one partition and origin. Those that come while others are being answered are next."""

    waiting: dict[AskKey, Ask] = field(default_factory=dict)
    running: dict[AskKey, Ask] = field(default_factory=dict)

    def __contains__(self, ask: Ask) -> bool:
        """Whether it repeats one that waits, or is being answered."""
        return ask.key in self.waiting or ask.key in self.running

    def add(self, ask: Ask) -> None:
        """One that repeats another is passed over."""
        if ask not in self:
            self.waiting[ask.key] = ask

    def take(self) -> list[Ask]:
        """All that wait are answered from now on; those before were."""
        self.running, self.waiting = self.waiting, {}
        return list(self.running.values())

    def answered(self) -> None:
        """All that were taken are; one that repeats them is a new one."""
        self.running = {}


def pause_after(took: float, *, asks: int) -> float:
    """Seconds to gather more asks after a pass that took so many, before the next. A pass costs about the same for one ask as for all.

    Few who come one after the other hardly wait; when thousands come back, passes take a tenth of the time, or are 2 s apart.
    """
    return min(_PAUSE_PASSES * took, _PAUSE_SECONDS_AN_ASK * asks, _MOST_PAUSE_SECONDS)


class Matching:
    """Rooms that ask, matched against each update once, however many they are."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._index = RoomsIndex()
        self._asks: dict[tuple[Slot, str], list[tuple[int, int]]] = {}
        self.first: int | None = None
        """The lowest offset that anybody wants."""

    def add(self, ask: Ask, had: int) -> None:
        """The ask wants what is beyond `had`."""
        self._index.add(ask.slot, ask.room)
        self._asks.setdefault((ask.slot, ask.room.id), []).append((had, ask.request))
        self.first = had + 1 if self.first is None else min(self.first, had + 1)

    def match(self, entries: Iterable[Entry]) -> Mapping[Slot, list[Replayed]]:
        """What each slot is told: an update once, with all requests that it answers."""
        told: dict[Slot, list[Replayed]] = {}
        for entry in entries:
            body: bytes | None = None
            for slot, rooms in self._index.match(entry.update).items():
                answers = [
                    (room, request)
                    for room in unpack_rooms(rooms)
                    for had, request in self._asks[slot, room]
                    if entry.offset > had
                ]
                if not answers:
                    continue
                body = body or self._body(entry)
                told.setdefault(slot, []).extend(
                    Replayed(
                        entry.offset,
                        answers[at : at + _MOST_ANSWERS],
                        body,
                        entry.timestamp,
                        entry.update.user_id,
                        entry.key,
                    )
                    for at in range(0, len(answers), _MOST_ANSWERS)
                )
        return told

    def _body(self, entry: Entry) -> bytes:
        return frame_json(entry.update, f"{self._partition}:{entry.offset}", record_timestamp=entry.timestamp)
