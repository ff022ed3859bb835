"""Checkpoints: the latest table of a partition in Redis, so that its next owner need not read the whole topic.

A checkpoint holds up to its offset exactly, written with its entries in one script. The offset may be ahead of what is committed: what the
next owner routes again is in the table already (`router.latest`). A checkpoint belongs to the owner that claimed it last, by generation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from common import redis_keys
from common.channels import Channel
from common.errors import InvalidUpdate
from common.identifiers import Generation
from common.redis import Redis, load_script
from common.updates import decode_update
from router.latest import Changes
from router.recent import Entry
from router.sources import Source

_ENTITY = "e:"
_BATCH = 500
"""Entries in one call: 2 ms of Redis' time."""


class Written(IntEnum):
    DONE = 1
    FENCED = 0
    """A newer owner has it."""
    UNKNOWN = -1
    """Redis does not have what was claimed, or written last: it was emptied, or put back."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`offset`: it holds what is before."""

    stream: str
    offset: int


class Checkpoints:
    """Raises `RedisError` where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._claimed = load_script(redis, "router", "checkpoint_claimed")
        self._written = load_script(redis, "router", "checkpoint_written")

    async def claim(self, source: Source, generation: Generation) -> Checkpoint | None:
        """Own the partition's checkpoint, if there is one."""
        found = await self._claimed(keys=[redis_keys.latest(*source)], args=[generation])
        return Checkpoint(found[0], int(found[1])) if found is not None else None

    async def load(self, source: Source) -> AsyncGenerator[list[Entry]]:
        """The entries, some at a time, in no order."""
        key, cursor = redis_keys.latest(*source), 0
        while True:
            found: Any = await self._redis.hscan(key, cursor, count=_BATCH)
            cursor, fields = found
            yield [
                entry
                for field, value in fields.items()
                if field.startswith(_ENTITY) and (entry := _decode(source, field, value)) is not None
            ]
            if cursor == 0:
                return

    async def is_held(self, source: Source, generation: Generation, claimed: Checkpoint) -> bool:
        """Whether it is still there as claimed: what was loaded of one that was emptied meanwhile has gaps."""
        found: Any = await self._redis.hmget(redis_keys.latest(*source), "generation", "stream", "offset")
        return bool(found == [str(generation), claimed.stream, str(claimed.offset)])

    async def write(self, source: Source, generation: Generation, stream: str, changes: Changes) -> Written:
        """Bring the checkpoint up to `changes.next`; one that is whole takes several calls, and holds with the last."""
        entries = [_encode(entry) for entry in changes.entries]
        size = _BATCH if changes.whole else max(len(entries), 1)
        parts = [entries[at : at + size] for at in range(0, len(entries), size)] or [[]]
        written = Written.DONE
        for number, part in enumerate(parts):
            begin = "whole" if changes.whole and number == 0 else ""
            has = "" if changes.whole else changes.since
            upto = changes.next if number == len(parts) - 1 else ""
            removed = map(_field, changes.removed)
            args = [
                generation,
                begin,
                stream,
                has,
                upto,
                len(changes.removed),
                *removed,
                *(each for pair in part for each in pair),
            ]
            written = Written(int(await self._written(keys=[redis_keys.latest(*source)], args=args)))
            if written is not Written.DONE:
                break
        return written


def _field(key: bytes) -> str:
    return _ENTITY + key.decode("utf-8", "surrogateescape")


def _encode(entry: Entry) -> tuple[str, str]:
    assert entry.key is not None
    return _field(entry.key), f"{entry.offset} {entry.timestamp} {entry.update.body.decode()}"


def _decode(source: Source, field: str, value: str) -> Entry | None:
    """`None` for what an older version wrote and this one cannot read."""
    offset, _, rest = value.partition(" ")
    timestamp, _, body = rest.partition(" ")
    try:
        update = decode_update(body.encode(), channel=Channel(source[0]))
        key = field.removeprefix(_ENTITY).encode("utf-8", "surrogateescape")
        return Entry(int(offset), int(timestamp), key, update)
    except (InvalidUpdate, ValueError):
        return None
