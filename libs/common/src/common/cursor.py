"""Cursors: where a client stands in a channel, valid at any gateway (docs/protocol.md).

k3f9.0:123,3:18231        stream epoch, then the last offset had of each partition
k3f9.                     nothing had yet of any partition
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.errors import InvalidCursor

_CURSOR = re.compile(r"([a-z0-9]{1,16})\.((?:[0-9]{1,10}:[0-9]{1,19}(?:,(?!$)|$))*)")
_MOST = 2**63 - 1
"""Kafka's offsets are signed 64-bit numbers."""
MAX_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """`offsets`: partition -> last offset had. A partition that is not named is replayed from its start."""

    epoch: str
    offsets: Mapping[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.epoch}." + ",".join(
            f"{partition}:{offset}" for partition, offset in sorted(self.offsets.items())
        )


def parse_cursor(text: object) -> Cursor:
    """Raises `InvalidCursor` for anything that `str(Cursor(...))` cannot have made."""
    if not isinstance(text, str) or len(text) > MAX_LENGTH or not (found := _CURSOR.fullmatch(text)):
        raise InvalidCursor("not a cursor; give back one that the server sent, as it was", field="since")
    pairs = [pair.split(":") for pair in found.group(2).split(",")] if found.group(2) else []
    cursor = Cursor(found.group(1), {int(partition): int(offset) for partition, offset in pairs})
    if str(cursor) != text or max(cursor.offsets.values(), default=0) > _MOST:
        raise InvalidCursor("the cursor is not as the server wrote it", field="since")
    return cursor


def cursor_text(epoch: str, positions: Mapping[int, int]) -> str:
    """The cursor of positions where -1 means "nothing yet"."""
    return str(Cursor(epoch, {partition: offset for partition, offset in positions.items() if offset >= 0}))
