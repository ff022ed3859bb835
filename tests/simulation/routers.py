"""The logs, and plain routers that keep the rules of docs/adr/0008: an update names the rooms that it matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.deliveries import Activated, Began, Item, Progress, Replayed, Routed, TookOver, Verdict
from common.identifiers import RoomId
from common.rooms import parse_room

CHANNEL, EPOCH = "liquidations", "k3f9"
PARTITIONS, ROOMS = 2, 3
RETRY, TIMEOUT = 3.0, 1000.0
USERS = (None, "alice")
rooms = [parse_room(CHANNEL, {"chains": [f"chain{number}"]}) for number in range(ROOMS)]


class Failure(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True, slots=True)
class Update:
    matches: frozenset[RoomId]
    user: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """Of `rooms.interest`; `request` is `None` for a null."""

    room: RoomId
    request: int | None
    since: Mapping[int, int] | None = None


class Broker:
    def __init__(self) -> None:
        self.updates: list[list[Update]] = [[] for _ in range(PARTITIONS)]
        self.interest: list[Record] = []
        self.deliveries: list[tuple[int, int, Item]] = []
        """Partition, generation, item."""
        self.committed = [0] * PARTITIONS
        self.owner = [0] * PARTITIONS
        self.generation = [0] * PARTITIONS


@dataclass(slots=True)
class Owned:
    generation: int
    next: int
    out: list[Item] = field(default_factory=list)


class Router:
    """The plain router. `mutation` takes one of its rules away."""

    def __init__(self, number: int, broker: Broker, mutation: str = "") -> None:
        self.number, self.broker, self.mutation = number, broker, mutation
        self.restart()

    def restart(self) -> None:
        self.read = 0
        self.wanted: set[RoomId] = set()
        self.owned: dict[int, Owned] = {}
        self.taking: dict[int, tuple[int, int]] = {}

    def assign(self, partition: int) -> None:
        self.broker.generation[partition] += 1
        self.taking[partition] = (self.broker.generation[partition], len(self.broker.interest))
        self.owned.pop(partition, None)

    def notice_loss(self) -> None:
        for held in (self.owned, self.taking):
            for partition in [each for each in held if self.broker.owner[each] != self.number]:
                del held[partition]

    def finish_taking(self) -> None:
        for partition, (generation, end) in list(self.taking.items()):
            if self.read >= end:
                del self.taking[partition]
                start = self.broker.committed[partition]
                self.owned[partition] = Owned(generation, start, [TookOver(start, {0: self.read})])

    def read_interest(self) -> None:
        if self.read >= len(self.broker.interest):
            return
        record = self.broker.interest[self.read]
        self.read += 1
        if record.request is None:
            self.wanted.discard(record.room)
            return
        self.wanted.add(record.room)
        for partition, owned in self.owned.items():
            self._answer(partition, owned, record.room, record.request, record.since)

    def _answer(
        self, partition: int, owned: Owned, room: RoomId, request: int, since: Mapping[int, int] | None
    ) -> None:
        if since is not None:
            owned.out.append(Began(room, request, Verdict.REPLAY, 0))
            for offset in range(since.get(partition, -1) + 1, owned.next):
                update = self.broker.updates[partition][offset]
                if room in update.matches:
                    owned.out.append(Replayed(offset, [(room, request)], b"%d" % offset, 0, update.user))
        owned.out.append(Activated(room, owned.next, request))

    def route(self, partition: int) -> None:
        owned = self.owned.get(partition)
        if owned is None or owned.next >= len(self.broker.updates[partition]):
            return
        update = self.broker.updates[partition][owned.next]
        matched = sorted(self.wanted & update.matches)
        if matched:
            owned.out.append(Routed(owned.next, list(matched), b"%d" % owned.next, 0, update.user))
        else:
            owned.out.append(Progress(owned.next))
        owned.next += 1

    def flush(self, partition: int) -> None:
        owned = self.owned.get(partition)
        if owned is not None:
            self.broker.deliveries += [(partition, owned.generation, item) for item in owned.out]
            owned.out.clear()

    def commit(self, partition: int) -> None:
        owned = self.owned.get(partition)
        if owned is None or self.broker.owner[partition] != self.number:
            return
        if self.mutation == "early-commit" or not owned.out:
            self.broker.committed[partition] = max(self.broker.committed[partition], owned.next)
