"""Latest tables from their checkpoints on a real Redis, which may be emptied while one is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from common.identifiers import Generation
from router.checkpoints import Checkpoints
from router.interest import InterestFold
from router.latest import Change, Changes, State
from router.recent import Entry
from router.replay import Bounds
from router.sources import Source
from router.tables import Tables
from services.router.tests.in_memory import owner
from services.router.tests.past import entry

SOURCE = ("prices", 0)
BEFORE, NOW = Generation(1_700_000_000_001), Generation(1_700_000_000_002)
STREAM = ""
ENTRIES = [entry(offset, f"token-{offset}") for offset in range(3000)]


class Topic:
    """All entries; `reads`: from where it was read."""

    def __init__(self) -> None:
        self.reads: list[int] = []

    async def bounds(self, _source: Source, *, named: int = -1) -> Bounds:
        return Bounds(0, len(ENTRIES))

    async def read(self, _source: Source, offset: int) -> AsyncGenerator[tuple[Sequence[Change], int]]:
        self.reads.append(offset)
        yield ENTRIES[offset:], len(ENTRIES)


class EmptiedMeanwhile(Checkpoints):
    """Redis is emptied once a part of a checkpoint was loaded."""

    def __init__(self, redis: Any) -> None:
        super().__init__(redis)
        self._store = redis

    async def load(self, source: Source) -> AsyncGenerator[list[Entry]]:
        async for part in super().load(source):
            yield part
            await self._store.flushdb()


async def built(checkpoints: Checkpoints, topic: Topic) -> list[Entry]:
    """The table of an owner that takes the partition at the topic's end."""
    _outgoing, ownership = owner(InterestFold(), recent=10)
    ownership.take(SOURCE, NOW, len(ENTRIES))
    tables = Tables(ownership, topic, checkpoints)
    tables.build()
    running = asyncio.create_task(tables.run(60.0))
    try:
        await asyncio.wait_for(tables.ready(SOURCE), 20)
    finally:
        running.cancel()
    latest = ownership.owned()[SOURCE].latest
    assert latest is not None
    assert latest.state is State.READY
    return latest.entries()


async def test_a_table_is_loaded_from_its_checkpoint(store: Any):
    checkpoints, topic = Checkpoints(store), Topic()
    await checkpoints.write(SOURCE, BEFORE, STREAM, Changes(-1, 2990, ENTRIES[:2990], (), whole=True))

    assert await built(checkpoints, topic) == ENTRIES
    assert topic.reads == [2990]


async def test_a_table_whose_checkpoint_is_emptied_meanwhile_is_read_from_the_topic(store: Any):
    topic = Topic()
    await Checkpoints(store).write(SOURCE, BEFORE, STREAM, Changes(-1, 2990, ENTRIES[:2990], (), whole=True))

    assert await built(EmptiedMeanwhile(store), topic) == ENTRIES
    assert topic.reads == [0]
