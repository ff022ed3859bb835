"""What can be seen of a client's cursor without asking a router. Pure."""

from __future__ import annotations

from collections.abc import Callable

from common.cursor import Cursor
from common.errors import ErrorCode
from gateway.positions import Positions
from gateway.protocol.rules import Refused


class CursorCheck:
    """`partitions(channel)`: how many a channel has. What is too old, or ahead, only the partition's owner knows."""

    def __init__(self, positions: Positions, partitions: Callable[[str], int]) -> None:
        self._positions = positions
        self._partitions = partitions

    def __call__(self, channel: str, cursor: Cursor) -> Refused | None:
        other = self._positions.channel_of(cursor.epoch)
        if other is not None and other != channel:
            return Refused(ErrorCode.BAD_REQUEST, f"the cursor is of channel {other}, not {channel}", "since")
        unknown = [partition for partition in cursor.offsets if partition >= self._partitions(channel)]
        if unknown:
            text = f"the cursor names partition {unknown[0]}, which {channel} does not have"
            return Refused(ErrorCode.BAD_REQUEST, text, "since")
        return None
