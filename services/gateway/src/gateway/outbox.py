"""The outbox of one connection that reads more slowly than its updates come: bounded, in order. Pure.

A connection has one only while its transport is full, which most never are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

CHUNK_BYTES = 64 * 1024


class Outbox:
    """At most `limit` bytes wait; frames are shared with other connections, so what this costs here is their references."""

    __slots__ = ("_frames", "_limit", "size")

    def __init__(self, limit: int) -> None:
        self._frames: deque[bytes] = deque()
        self._limit = limit
        self.size = 0

    def __len__(self) -> int:
        return len(self._frames)

    def extend(self, frames: Iterable[bytes]) -> bool:
        """Queue frames. False when that overflows: then the connection is a slow consumer."""
        for frame in frames:
            self._frames.append(frame)
            self.size += len(frame)
        return self.size <= self._limit

    def take(self) -> bytes:
        """The next frames, joined, about 64 KiB of them; empty when none wait."""
        chunk: list[bytes] = []
        taken = 0
        while self._frames and taken < CHUNK_BYTES:
            frame = self._frames.popleft()
            taken += len(frame)
            chunk.append(frame)
        self.size -= taken
        return b"".join(chunk)
