"""Latest: the last update of each entity of one owned partition of a state channel. Pure.

    BUILDING --(checkpoint and history loaded, `complete`)--> READY

What is routed while it is being built waits, one update an entity, and is applied at the end. `next` is the offset up to which
(exclusive) everything is in the table. It may be ahead of what its owner has routed, as a checkpoint is not bound to what was
committed: an update below `next` is in the table already, or was followed by a newer one of its entity, and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter

from router.recent import Entry

_offset = attrgetter("offset")


class State(Enum):
    BUILDING = "building"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Removal:
    """A null value: the entity is no more."""

    offset: int
    key: bytes


Change = Entry | Removal


@dataclass(frozen=True, slots=True)
class Changes:
    """What a checkpoint that holds up to `since` does not have yet; with it, up to `next`. `whole`: all entries, whatever it has."""

    since: int
    next: int
    entries: Sequence[Entry]
    removed: Sequence[bytes]
    whole: bool


class Latest:
    def __init__(self, start: int) -> None:
        self.state = State.BUILDING
        self.start = start
        """The first offset that its owner routes: what is before it must be loaded."""
        self.next = 0
        self._entries: dict[bytes, Entry] = {}
        self._waiting: dict[bytes, Change] = {}
        self._passed = start
        self._dirty: set[bytes] = set()
        self._whole = True
        self._written = -1

    def __len__(self) -> int:
        return len(self._entries)

    # Building -------------------------------------------------------------------------------------------------------

    def begin(self, offset: int, *, checkpoint: int | None) -> None:
        """Load from here on; `checkpoint`: up to which offset there is one, `None` where there is none of use."""
        self._entries.clear()
        self._dirty.clear()
        self.next, self._whole = offset, checkpoint is None
        self._written = checkpoint if checkpoint is not None else -1

    def load(self, entries: Iterable[Entry]) -> None:
        """Take what a checkpoint holds."""
        self._entries.update((entry.key, entry) for entry in entries if entry.key is not None)

    def read(self, changes: Iterable[Change]) -> None:
        """Take what the topic has, in order."""
        self._apply(changes)

    def reached(self, upto: int) -> None:
        """Everything in the topic up to an offset (exclusive) was read."""
        self.next = max(self.next, upto)

    def complete(self) -> None:
        """Everything before `start` was loaded: apply what was routed since."""
        self.state = State.READY
        self._apply(self._waiting.values())
        self._waiting.clear()
        self.next = max(self.next, self._passed)

    # Routing --------------------------------------------------------------------------------------------------------

    def route(self, entries: Sequence[Entry], removals: Sequence[Removal], upto: int) -> None:
        """Take what was routed; `upto` is the next offset to be."""
        changes: list[Change] = [*entries, *removals]
        if removals:
            changes.sort(key=_offset)
        self._passed = upto
        if self.state is State.BUILDING:
            self._waiting.update((change.key, change) for change in changes if change.key is not None)
            return
        self._apply(changes)
        self.next = max(self.next, upto)

    def _apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            key = change.key
            if change.offset < self.next or key is None:
                continue
            if isinstance(change, Entry):
                self._entries[key] = change
            elif self._entries.pop(key, None) is None:
                continue
            self._dirty.add(key)

    # Reading --------------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """The last update of each entity, in the order of offsets."""
        return sorted(self._entries.values(), key=_offset)

    def take_changes(self) -> Changes | None:
        """What is to be written to the checkpoint; `None` while there is nothing."""
        if self.state is State.BUILDING or (not self._whole and self.next == self._written):
            return None
        whole, self._whole = self._whole, False
        dirty, self._dirty = self._dirty, set()
        since, self._written = self._written, self.next
        if whole:
            return Changes(since, self.next, list(self._entries.values()), (), whole=True)
        entries = [self._entries[key] for key in dirty if key in self._entries]
        return Changes(since, self.next, entries, [key for key in dirty if key not in self._entries], whole=False)

    def not_written(self) -> None:
        """What the checkpoint holds is not known: write all of it the next time."""
        self._whole = True
