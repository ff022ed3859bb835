"""Checkpoints on a real Redis: they hold what was written, and only their owner writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common import redis_keys
from common.identifiers import Generation
from router.checkpoints import Checkpoint, Checkpoints, Written
from router.latest import Changes
from router.recent import Entry
from services.router.tests.past import entry

SOURCE = ("prices", 2)
OLD, NEW = Generation(1_700_000_000_001), Generation(1_700_000_000_002)


def changes(upto: int, entries: Sequence[Entry], *, removed: Sequence[bytes] = (), since: int | None = None) -> Changes:
    return Changes(since if since is not None else -1, upto, entries, removed, whole=since is None)


async def loaded(checkpoints: Checkpoints) -> dict[bytes | None, Entry]:
    return {each.key: each async for part in checkpoints.load(SOURCE) for each in part}


async def test_what_was_written_is_loaded(store: Any):
    checkpoints = Checkpoints(store)
    strange = Entry(4, 99, b"\xff\x00 key", entry(4, data="Zürich").update)
    entries = [entry(n, f"token-{n}") for n in range(1200)] + [strange]

    assert await checkpoints.write(SOURCE, OLD, "abc", changes(1300, entries)) is Written.DONE

    assert await checkpoints.claim(SOURCE, NEW) == Checkpoint("abc", 1300)
    assert await loaded(checkpoints) == {each.key: each for each in entries}


async def test_changes_are_added_and_removed_with_their_offset(store: Any):
    checkpoints = Checkpoints(store)
    await checkpoints.write(SOURCE, OLD, "abc", changes(2, [entry(0, "a"), entry(1, "b")]))
    await checkpoints.write(SOURCE, OLD, "abc", changes(4, [entry(3, "c")], removed=[b"a"], since=2))

    assert await checkpoints.claim(SOURCE, OLD) == Checkpoint("abc", 4)
    assert set(await loaded(checkpoints)) == {b"b", b"c"}


async def test_an_owner_that_lost_the_partition_changes_nothing(store: Any):
    checkpoints = Checkpoints(store)
    await checkpoints.write(SOURCE, OLD, "abc", changes(2, [entry(0, "a")]))
    await checkpoints.claim(SOURCE, NEW)

    assert await checkpoints.write(SOURCE, OLD, "abc", changes(9, [entry(8, "a")], since=2)) is Written.FENCED
    assert await checkpoints.write(SOURCE, OLD, "abc", changes(9, [])) is Written.FENCED
    assert await checkpoints.claim(SOURCE, NEW) == Checkpoint("abc", 2)
    assert (await loaded(checkpoints))[b"a"].offset == 0


async def test_changes_to_what_redis_has_lost_are_refused_and_all_is_written_anew(store: Any):
    checkpoints = Checkpoints(store)
    await checkpoints.write(SOURCE, NEW, "abc", changes(2, [entry(0, "a")]))
    await store.flushdb()

    assert await checkpoints.write(SOURCE, NEW, "abc", changes(3, [entry(2, "b")], since=2)) is Written.UNKNOWN
    assert await checkpoints.claim(SOURCE, NEW) is None
    await checkpoints.write(SOURCE, NEW, "abc", changes(3, [entry(0, "a"), entry(2, "b")]))
    assert set(await loaded(checkpoints)) == {b"a", b"b"}


async def test_changes_to_what_was_put_back_are_refused(store: Any):
    checkpoints, key = Checkpoints(store), redis_keys.latest(*SOURCE)
    await checkpoints.write(SOURCE, NEW, "abc", changes(2, [entry(0, "a")]))
    before = await store.hgetall(key)
    await checkpoints.write(SOURCE, NEW, "abc", changes(3, [entry(2, "b")], since=2))
    await store.delete(key)
    await store.hset(key, mapping=before)

    assert await checkpoints.write(SOURCE, NEW, "abc", changes(4, [entry(3, "c")], since=3)) is Written.UNKNOWN
    assert await store.hgetall(key) == before


async def test_what_was_claimed_is_held_until_redis_is_emptied_or_another_owner_comes(store: Any):
    checkpoints = Checkpoints(store)
    await checkpoints.write(SOURCE, OLD, "abc", changes(2, [entry(0, "a")]))
    claimed = await checkpoints.claim(SOURCE, OLD)
    assert claimed is not None
    assert await checkpoints.is_held(SOURCE, OLD, claimed)

    await checkpoints.claim(SOURCE, NEW)
    assert not await checkpoints.is_held(SOURCE, OLD, claimed)
    assert await checkpoints.is_held(SOURCE, NEW, claimed)

    await store.flushdb()
    assert not await checkpoints.is_held(SOURCE, NEW, claimed)


async def test_one_that_was_not_written_to_its_end_is_none(store: Any):
    checkpoints = Checkpoints(store)
    await checkpoints.write(SOURCE, NEW, "abc", changes(5, [entry(0, "a")]))
    await store.hdel(redis_keys.latest(*SOURCE), "offset")
    assert await checkpoints.claim(SOURCE, NEW) is None


async def test_a_partition_without_entities_has_a_checkpoint_as_well(store: Any):
    checkpoints = Checkpoints(store)
    await checkpoints.write(SOURCE, NEW, "abc", changes(0, []))
    assert await checkpoints.claim(SOURCE, NEW) == Checkpoint("abc", 0)
    assert await loaded(checkpoints) == {}
