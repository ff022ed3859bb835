"""One contract, held by every key store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from auth.breaker import CircuitBreaker
from auth.key_stores import KeyStore, NotAnswered
from auth.key_stores.http import Bounds, Call, HttpKeyStore
from auth.key_stores.http_answers import AnswerFields
from auth.key_stores.memory import MemoryKeyStore
from auth.key_stores.redis import RedisKeyStore
from auth.keys import KeyRecord
from common import redis_keys
from common.clock import ManualClock
from common.identifiers import KeyHash
from services.auth.tests.key_system import KeySystem

BOUNDS = Bounds()
A, B, C = (KeyHash(letter * 64) for letter in "abc")
RECORD = KeyRecord(
    key_hash=A,
    user="alice",
    permissions=("channel:prices", "broadcast"),
    limits={"subscriptions": 5, "messagesPerMinute": None},
    expires_at=1_900_000_000_000,
)


class World(Protocol):
    """A store, and what stands behind it."""

    store: KeyStore

    async def add(self, record: KeyRecord) -> None: ...

    async def go_away(self) -> None: ...

    async def come_back(self) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.store = MemoryKeyStore()

    async def add(self, record: KeyRecord) -> None:
        self.store.records[record.key_hash] = record

    async def go_away(self) -> None:
        self.store.away = NotAnswered("redis", "the key store is away")

    async def come_back(self) -> None:
        self.store.away = None


class RedisWorld:
    def __init__(self, redis) -> None:
        self.store = RedisKeyStore(redis)
        self._pool, self._port = redis.connection_pool, redis.connection_pool.connection_kwargs["port"]

    async def add(self, record: KeyRecord) -> None:
        await self.store.save(record)

    async def go_away(self) -> None:
        await self._move(1)

    async def come_back(self) -> None:
        await self._move(self._port)

    async def _move(self, port: int) -> None:
        await self._pool.disconnect()
        self._pool.reset()
        self._pool.connection_kwargs["port"] = port


class HttpWorld:
    def __init__(self, system: KeySystem, store: HttpKeyStore, clock: ManualClock) -> None:
        self.store = store
        self._system = system
        self._clock = clock

    async def add(self, record: KeyRecord) -> None:
        self._system.add(record)

    async def go_away(self) -> None:
        self._system.status = 503

    async def come_back(self) -> None:
        self._system.status = None
        self._clock.advance(60.0)


@pytest.fixture
async def key_system() -> AsyncIterator[KeySystem]:
    async with KeySystem().serving() as system:
        yield system


def http_store(
    system: KeySystem,
    *,
    path: str = "/keys/{key_hash}",
    bounds: Bounds = BOUNDS,
    clock: ManualClock | None = None,
    **call,
) -> HttpKeyStore:
    breaker = CircuitBreaker(failures=3, open_seconds=5.0)
    return HttpKeyStore(Call(system.url + path, **call), AnswerFields(), bounds, breaker, clock or ManualClock())


@pytest.fixture
def memory_world() -> MemoryWorld:
    return MemoryWorld()


@pytest.fixture
def redis_world(redis) -> RedisWorld:
    return RedisWorld(redis)


@pytest.fixture
async def http_world(key_system) -> AsyncIterator[HttpWorld]:
    clock = ManualClock()
    store = http_store(key_system, clock=clock)
    yield HttpWorld(key_system, store, clock)
    await store.aclose()


@pytest.fixture(params=["memory", "redis", "http"])
def world(request) -> World:
    world: World = request.getfixturevalue(f"{request.param}_world")
    return world


async def test_a_known_key_is_found_with_all_that_its_record_says(world):
    await world.add(RECORD)
    assert await world.store.find([A]) == {A: RECORD}


async def test_each_hash_of_a_batch_is_answered(world):
    await world.add(RECORD)
    await world.add(RECORD.model_copy(update={"key_hash": C, "user": "carol"}))
    found = await world.store.find([C, B, A])
    assert {key: record and record.user for key, record in found.items()} == {A: "alice", B: None, C: "carol"}


async def test_no_hashes_no_answers(world):
    assert await world.store.find([]) == {}


async def test_a_store_that_is_away_says_so_of_each_hash_and_answers_when_it_is_back(world):
    await world.add(RECORD)
    await world.go_away()
    away = await world.store.find([A, B])
    assert set(away) == {A, B}
    assert all(isinstance(each, NotAnswered) for each in away.values())
    await world.come_back()
    assert await world.store.find([A]) == {A: RECORD}


async def test_a_lookup_that_is_cancelled_leaves_the_store_usable(world):
    await world.add(RECORD)
    lookup = asyncio.create_task(world.store.find([A, B]))
    await asyncio.sleep(0)
    lookup.cancel()
    await asyncio.gather(lookup, return_exceptions=True)
    assert await world.store.find([A]) == {A: RECORD}


# Redis --------------------------------------------------------------------------------------------------------------


async def test_a_record_written_anew_stays_revoked(redis):
    store = RedisKeyStore(redis)
    await store.save(RECORD)
    await store.revoke(A, at_ms=5)
    await store.save(RECORD.model_copy(update={"user": "bob"}))
    assert await store.get(A) == RECORD.model_copy(update={"user": "bob", "revoked_at": 5})


async def test_revoking_twice_keeps_the_first_time(redis):
    store = RedisKeyStore(redis)
    await store.save(RECORD)
    await store.revoke(A, at_ms=5)
    await store.revoke(A, at_ms=9)
    assert await store.find([A]) == {A: RECORD.model_copy(update={"revoked_at": 5})}


async def test_an_unreadable_record_harms_no_other(redis):
    store = RedisKeyStore(redis)
    await store.save(RECORD)
    await redis.hset(redis_keys.auth_key(B), "record", "{")
    found = await store.find([A, B])
    assert found[A] == RECORD
    assert isinstance(found[B], NotAnswered)


async def test_records_are_found_by_the_beginning_of_their_hash(redis):
    store = RedisKeyStore(redis)
    for number in range(3):
        record = RECORD.model_copy(update={"key_hash": KeyHash(f"{number}" * 64), "created_at": 9 - number})
        await store.save(record)
    assert [each.key_hash[0] for each in await store.matching()] == ["2", "1", "0"]
    assert [each.key_hash[0] for each in await store.matching("11")] == ["1"]


# HTTP ---------------------------------------------------------------------------------------------------------------


async def test_the_hash_travels_in_the_url(key_system):
    store = http_store(key_system, header=("Authorization", "Bearer secret"))
    key_system.add(RECORD)
    assert (await store.find([A]))[A] == RECORD
    assert key_system.asked == [("GET", f"/keys/{A}", "Bearer secret", b"")]


async def test_the_hash_travels_in_a_header(key_system):
    store = http_store(key_system, path="/check", header=("X-Key-Hash", "{key_hash}"))
    key_system.add(RECORD)
    assert (await store.find([A]))[A] == RECORD


async def test_the_hash_travels_in_the_body(key_system):
    store = http_store(key_system, path="/check", method="POST")
    key_system.add(RECORD)
    assert (await store.find([A]))[A] == RECORD
    assert key_system.asked == [("POST", "/check", None, b'{"keyHash":"' + A.encode() + b'"}')]


@pytest.mark.parametrize(("status", "kind"), [(500, "status"), (401, "status"), (302, "status"), (200, "malformed")])
async def test_an_answer_of_no_use_is_no_refusal(key_system, status, kind):
    key_system.status = status
    found = await http_store(key_system).find([A])
    assert found[A] == NotAnswered(kind, "the key system is away")


async def test_nobody_listening_is_no_refusal():
    system = KeySystem()
    system.url = "http://127.0.0.1:1"
    assert (await http_store(system).find([A]))[A] == NotAnswered("connection", "the key system is away")


async def test_a_slow_key_system_is_waited_for_only_so_long(key_system):
    key_system.hold.clear()
    found = await http_store(key_system, bounds=Bounds(timeout=0.05)).find([A])
    assert found[A] == NotAnswered("timeout", "the key system is away")


async def test_a_batch_is_waited_for_only_so_long(key_system):
    key_system.hold.clear()
    store = http_store(key_system, bounds=Bounds(timeout=60, batch_timeout=0.1, concurrency=1))
    found = await store.find([A, B, C])
    assert set(found.values()) == {NotAnswered("busy", "the key system is busy")}


async def test_no_more_calls_are_open_than_allowed(key_system):
    key_system.hold.clear()
    store = http_store(key_system, bounds=Bounds(timeout=60, batch_timeout=60, concurrency=4))
    lookup = asyncio.create_task(store.find([KeyHash(f"{number:064x}") for number in range(20)]))
    async with asyncio.timeout(10):
        await key_system.open_calls(4)
        key_system.hold.set()
        assert len(await lookup) == 20
    assert key_system.most_open == 4


async def test_after_failures_in_a_row_the_key_system_is_left_alone_for_a_while(key_system):
    clock = ManualClock()
    store = http_store(key_system, clock=clock)
    key_system.status = 503
    for _ in range(5):
        await store.find([A])
    assert len(key_system.asked) == 3
    key_system.status = None
    key_system.add(RECORD)
    clock.advance(5.0)
    assert await store.find([A]) == {A: RECORD}


async def test_an_unknown_key_is_an_answer_not_a_failure(key_system):
    store = http_store(key_system)
    for _ in range(5):
        assert await store.find([A]) == {A: None}
