"""Cursors, and where a subscription stands.

    k3f9.0:123,3:18231        the stream's epoch, then the last offset had of each partition

`Standing` answers "from where would I go on?", `Position` also "have I had this one?".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from defistream.errors import InvalidArgument

_CURSOR = re.compile(r"([A-Za-z0-9]+)\.((?:\d{1,10}:\d{1,19}(?:,(?!$)|$))*)")
_ID = re.compile(r"(\d{1,10}):(\d{1,19})")

SEEN_LIMIT = 65_536
"""Ids of one partition that are remembered one by one; of more, the lower half is taken as had."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """`offsets`: partition -> last offset had."""

    epoch: str
    offsets: Mapping[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.epoch}." + ",".join(
            f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items())
        )

    def merged(self, later: Cursor) -> Cursor:
        """What holds once both were told: of one stream the further of each partition, else the later one alone."""
        if later.epoch != self.epoch:
            return later
        offsets = dict(self.offsets)
        for partition, offset in later.offsets.items():
            offsets[partition] = max(offset, offsets.get(partition, -1))
        return Cursor(self.epoch, offsets)

    def least(self, other: Cursor) -> Cursor:
        """Where someone stands who lacks all that one of the two lacks. Both are of one stream."""
        named = self.offsets.keys() & other.offsets.keys()
        return Cursor(
            self.epoch, {partition: min(self.offsets[partition], other.offsets[partition]) for partition in named}
        )

    def is_ahead_of(self, other: Cursor) -> bool:
        """Whether someone who stands at `other` lacks something of what this cursor has had."""
        if other.epoch != self.epoch:
            return True
        return any(offset > other.offsets.get(partition, -1) for partition, offset in self.offsets.items())


def parse_cursor(text: object) -> Cursor:
    """Raises `InvalidArgument` for anything that a server cannot have sent."""
    found = _CURSOR.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidArgument(f"not a cursor: {text!r}")
    pairs = [pair.split(":") for pair in found.group(2).split(",")] if found.group(2) else []
    return Cursor(found.group(1), {int(partition): int(offset) for partition, offset in pairs})


def parse_place(update_id: object) -> tuple[int, int] | None:
    """Partition and offset of an update's id (`"3:18231"`), `None` for an id of another form."""
    found = _ID.fullmatch(update_id) if isinstance(update_id, str) else None
    return (int(found.group(1)), int(found.group(2))) if found else None


class Standing:
    """A cursor that moves. `None` until the server has told the stream's epoch."""

    def __init__(self, cursor: Cursor | None = None) -> None:
        self._cursor = cursor
        self._moved: dict[int, int] = {}

    @property
    def cursor(self) -> Cursor | None:
        if self._cursor is not None and self._moved:
            self._cursor = self._cursor.merged(Cursor(self._cursor.epoch, self._moved))
            self._moved = {}
        return self._cursor

    def move(self, partition: int, offset: int) -> None:
        """An update was had, and all before it of its partition too."""
        self._moved[partition] = max(offset, self._moved.get(partition, -1))

    def tell(self, told: Cursor) -> None:
        """The server says that everything up to here was had. Never moves backwards within a stream."""
        cursor = self.cursor
        self._cursor = told if cursor is None else cursor.merged(told)
        self._moved = {}


class Position:
    """What one subscription has had: a floor that the server told, and ids above it, one by one.

    Ids are kept one by one, not as a highest offset, because a connection with several subscriptions may get an older update
    of one after a newer update of another.
    """

    def __init__(self, since: Cursor | None = None) -> None:
        self.standing = Standing(since)
        self._epoch = since.epoch if since else None
        self._floor: dict[int, int] = dict(since.offsets) if since else {}
        self._seen: dict[int, set[int]] = {}

    @property
    def cursor(self) -> Cursor | None:
        return self.standing.cursor

    def enter(self, epoch: str) -> None:
        """From now on ids belong to this stream; those of another one, whose offsets started again, are forgotten."""
        if self._epoch not in (None, epoch):
            self._floor, self._seen = {}, {}
        self._epoch = epoch

    def take(self, partition: int, offset: int, *, moves: bool) -> bool:
        """Whether this update is new. `moves`: nothing older of its partition is owed, so the cursor moves on to it."""
        seen = self._seen.setdefault(partition, set())
        if offset <= self._floor.get(partition, -1) or offset in seen:
            return False
        seen.add(offset)
        if len(seen) > SEEN_LIMIT:
            self._raise_floor(partition, sorted(seen)[SEEN_LIMIT // 2])
        if moves:
            self.standing.move(partition, offset)
        return True

    def is_beyond(self, partition: int, offset: int) -> bool:
        """Whether a later update of the partition was had."""
        return offset < max(self._seen.get(partition, ()), default=self._floor.get(partition, -1))

    def settle(self) -> None:
        """What is older than what was had is wanted no more. The cursor stays."""
        for partition, seen in tuple(self._seen.items()):
            self._raise_floor(partition, max(seen, default=-1))

    def tell(self, told: Cursor) -> None:
        """The server says that everything up to `told` was had."""
        self.enter(told.epoch)
        self.standing.tell(told)
        for partition, offset in told.offsets.items():
            self._raise_floor(partition, offset)

    def _raise_floor(self, partition: int, offset: int) -> None:
        if offset <= self._floor.get(partition, -1):
            return
        self._floor[partition] = offset
        if seen := self._seen.get(partition):
            self._seen[partition] = {one for one in seen if one > offset}
