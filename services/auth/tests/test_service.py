"""The service as a process, between a gateway's topics and Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from auth.key_stores.redis import RedisKeyStore
from auth.keys import KeyRecord
from auth.settings import AuthSettings
from common.events import Revocation
from common.identifiers import KeyHash, hash_api_key
from deploy.local.ports import free_port
from deploy.local.settings import Address
from services.auth.tests.asking import AskingGateway, asking_gateway
from services.auth.tests.conftest import PEPPER
from tests.support.forwarder import Forwarder
from tests.support.system import Service, System
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def service(system: System) -> Service:
    return system.start("auth")


@pytest.fixture
async def gateway(settings: AuthSettings) -> AsyncIterator[AskingGateway]:
    async with asking_gateway(settings) as gateway:
        yield gateway


def _split(bootstrap: str) -> tuple[str, int]:
    host, _, port = bootstrap.partition(":")
    return host, int(port)


def hash_of(key: str) -> KeyHash:
    return hash_api_key(key, PEPPER)


def record(key: str, **fields) -> KeyRecord:
    return KeyRecord(key_hash=hash_of(key), user="alice", permissions=("*",), **fields)


async def revoke(gateway: AskingGateway, key_hash: KeyHash) -> None:
    """What `auth keys revoke` writes last."""
    revocation = Revocation(key_hash=key_hash, at=time.time_ns() // 1_000_000)
    await gateway.producer.send_and_wait(gateway.topics.auth_revocations, revocation.encode(), key=key_hash.encode())


async def has_read(service: Service, revocations: float) -> None:
    async def read() -> bool:
        return await asyncio.to_thread(service.count, "auth_revocations_total") >= revocations

    await eventually(read, "the service has read the revocation")


async def test_a_key_made_by_the_command_is_allowed(service, system, gateway):
    key = system.new_key("--user", "alice", "--permission", "channel:prices", "--limit", "subscriptions=5")
    decision = await gateway.ask(hash_of(key))
    assert (decision.allowed, decision.user) == (True, "alice")
    assert decision.permissions == frozenset({"channel:prices"})
    assert decision.limits == {"subscriptions": 5}


async def test_an_unknown_and_an_expired_key_are_refused_with_the_reason(service, gateway, redis):
    await RedisKeyStore(redis).save(record("old", expires_at=1))
    unknown, expired = await gateway.ask_all([hash_of("nobody's"), hash_of("old")])
    assert (unknown.allowed, unknown.retryable) == (False, False)
    assert "not known" in unknown.reason
    assert "expired on 1970-01-01" in expired.reason


async def test_two_thousand_requests_at_once_are_all_answered(service, gateway, redis):
    store = RedisKeyStore(redis)
    hashes = [hash_of(f"many-{number}") for number in range(2000)]
    for number in range(0, 2000, 2):
        await store.save(record(f"many-{number}"))
    started = time.perf_counter()
    decisions = await gateway.ask_all(hashes, limit=30)
    print(f"2,000 requests at once: {time.perf_counter() - started:.2f} s")
    assert [decision.allowed for decision in decisions] == [number % 2 == 0 for number in range(2000)]


async def test_bad_records_are_passed_over_and_the_next_is_answered(service, gateway, redis):
    await RedisKeyStore(redis).save(record("good"))
    before = await asyncio.to_thread(service.count, "auth_requests_total")
    for value in (b"{", b"\xff\xfe", b"[]", b"null", b'{"request":1}', b"", None):
        await gateway.write(value)
    await gateway.write(b"{}", headers=[("reply_to", b"\xff")])
    await gateway.send(hash_of("good"), slot=99)
    late = await gateway.send(hash_of("good"), at_ms=time.time_ns() // 1_000_000 - 60_000)
    assert (await gateway.ask(hash_of("good"))).allowed

    async def counted() -> bool:
        count: float = await asyncio.to_thread(service.count, "auth_requests_total")
        return bool(count >= before + 11)

    await eventually(counted, "each record is counted, bad or not")
    assert not late.done()


async def test_a_revoked_key_is_refused_from_all_caches(service, system, gateway):
    key = system.new_key("--user", "alice", "--permission", "*")
    assert (await gateway.ask(hash_of(key))).allowed
    read = await asyncio.to_thread(service.count, "auth_revocations_total")
    await asyncio.to_thread(system.revoke, key)
    await has_read(service, read + 1)
    refused = await gateway.ask(hash_of(key))
    assert (refused.allowed, refused.reason) == (False, "this API key was revoked")


async def test_a_second_process_shares_the_work_and_knows_earlier_revocations(service, system, gateway, redis):
    store = RedisKeyStore(redis)
    await store.save(record("revoked-before"))
    await revoke(gateway, hash_of("revoked-before"))
    second = system.start("auth")
    hashes = [hash_of(f"shared-{number}") for number in range(200)]
    for number in range(200):
        await store.save(record(f"shared-{number}"))
    assert all(decision.allowed for decision in await gateway.ask_all(hashes, limit=30))
    assert not any(decision.allowed for decision in await gateway.ask_all([hash_of("revoked-before")] * 20))
    assert second.count("auth_requests_total") > 0
    assert second.stop() == 0
    assert all(decision.allowed for decision in await gateway.ask_all(hashes, limit=30))


async def test_a_process_that_is_ready_knows_every_revocation_also_those_written_in_one_go(system, settings, redis):
    prefix = settings.topic_prefix + "whole-"
    hashes = [hash_of(f"gone-{number}") for number in range(50)]
    for number in range(50):
        await RedisKeyStore(redis).save(record(f"gone-{number}"))
    async with asking_gateway(settings.model_copy(update={"topic_prefix": prefix})) as gateway:
        await asyncio.gather(*(revoke(gateway, key_hash) for key_hash in hashes))
        fresh = system.launch("auth", topic_prefix=prefix)
        await asyncio.to_thread(fresh.wait_ready)
        read = [line["keys"] for line in fresh.log() if line["event"] == "revocations_read"]
        assert read == [50]
        assert not any(decision.allowed for decision in await gateway.ask_all(hashes))
    assert await asyncio.to_thread(fresh.stop) == 0


async def test_while_redis_is_away_clients_are_told_to_try_again_and_later_served(
    system, service, servers, settings, redis
):
    relay = Forwarder(servers.redis)
    await relay.open()
    address = {"redis_host": relay.address.host, "redis_port": str(relay.address.port)}
    prefix = settings.topic_prefix + "away-"
    try:
        apart = system.launch("auth", topic_prefix=prefix, **address)
        await asyncio.to_thread(apart.wait_ready)
        async with asking_gateway(settings.model_copy(update={"topic_prefix": prefix})) as gateway:
            await RedisKeyStore(redis).save(record("patient"))
            await relay.close()
            refused = await gateway.ask(hash_of("patient"))
            assert (refused.allowed, refused.retryable) == (False, True)

            async def says_so() -> bool:
                readiness = await asyncio.to_thread(apart.readiness)
                return readiness is not None and readiness["dependencies"]["redis"] != "ok"

            await eventually(says_so, "/readyz tells that Redis is away", limit=20)
            await relay.open()
            await asyncio.to_thread(apart.wait_ready)
            assert (await gateway.ask(hash_of("patient"))).allowed
        assert await asyncio.to_thread(apart.stop) == 0
    finally:
        await relay.close()


async def test_it_waits_for_redis_and_kafka_says_so_once_and_goes_on(system, servers, gateway):
    kafka, redis = Forwarder(Address(*_split(servers.kafka))), Forwarder(servers.redis)
    late = system.launch(
        "auth",
        redis_host=redis.address.host,
        redis_port=str(redis.address.port),
        kafka_bootstrap_servers=str(kafka.address),
    )

    def waits_for(*what: str) -> bool:
        return [line["what"] for line in late.log() if line["event"] == "waiting_for"] == list(what)

    async def waits_for_redis() -> bool:
        return waits_for("redis")

    async def waits_for_kafka() -> bool:
        return waits_for("redis", "kafka")

    await eventually(waits_for_redis, "it waits for Redis", limit=20)
    readiness = await asyncio.to_thread(late.readiness)
    assert readiness is not None
    assert readiness["status"] == "not ready"
    await redis.open()
    try:
        await eventually(waits_for_kafka, "it waits for Kafka", limit=20)
        await kafka.open()
        await asyncio.to_thread(late.wait_ready)
        assert waits_for("redis", "kafka")
        assert await asyncio.to_thread(late.stop) == 0
    finally:
        await redis.close()
        await kafka.close()


def test_asked_to_stop_while_it_waits_it_ends_well(system):
    waiting = system.launch("auth", redis_host="127.0.0.1", redis_port=str(free_port()))
    try:
        while not any(line["event"] == "waiting_for" for line in waiting.log()):
            assert waiting.runs
            time.sleep(0.02)
    finally:
        assert waiting.stop() == 0


@pytest.mark.parametrize(
    ("settings", "begins"),
    [({"auth_key_store": "http"}, "auth: AUTH_HTTP_URL: "), ({"auth_cash_ttl": "1s"}, "auth: AUTH_CASH_TTL is not")],
)
def test_a_wrong_setting_ends_it_with_2_and_one_line(system, settings, begins):
    wrong = system.launch("auth", **settings)
    assert wrong.wait() == 2
    assert wrong.output().startswith(begins)
    assert wrong.output().count("\n") == 1
