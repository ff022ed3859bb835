"""Slots in Redis: two gateways never share one, epochs rise whatever happens, and a lease is lost only to another."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from common import redis_keys
from common.identifiers import GatewayId, Slot
from common.redis import Redis, connect_redis
from gateway.slot import Lease, NoFreeSlot, Slots
from services.gateway.tests.servers import settings_for
from tests.support.waiting import eventually

LEASE_SECONDS = 0.5
"""Held for two thirds of it, renewed each tenth of a second."""


@pytest.fixture
async def redis(isolation):
    async with connect_redis(settings_for(isolation)) as client:
        await client.flushdb()
        yield client


def gateway(redis: Redis, name: str, *, slots: int = 3, lease: float = LEASE_SECONDS) -> Slots:
    return Slots(redis, GatewayId(name), slots=slots, lease=lease)


async def now_ms(redis: Redis) -> int:
    """By Redis' clock."""
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def record(redis: Redis, lease: Lease) -> dict[str, str]:
    return {str(name): str(value) for name, value in (await redis.hgetall(redis_keys.slot(lease.slot))).items()}


async def test_a_lease_is_on_record_with_its_holder_its_epoch_and_its_end(redis):
    lease = await gateway(redis, "gw-1", lease=60.0).claim()
    found = await record(redis, lease)
    assert (lease.slot, found["gateway"], found["epoch"]) == (0, "gw-1", str(lease.epoch))
    held = int(found["expiresAt"]) - await now_ms(redis)
    assert 30_000 < held <= 40_000


async def test_gateways_that_claim_at_once_get_slots_of_their_own(redis):
    leases = await asyncio.gather(*(gateway(redis, f"gw-{number}", slots=8).claim() for number in range(8)))
    assert {lease.slot for lease in leases} == set(range(8))


async def test_when_every_slot_is_taken_there_is_none(redis):
    slots = gateway(redis, "gw-1", slots=2)
    await slots.claim()
    await slots.claim()
    with pytest.raises(NoFreeSlot, match="none of the 2 slots is free; raise SLOTS"):
        await slots.claim()


async def test_a_slot_whose_lease_has_run_out_is_the_reapers_and_not_free(redis):
    slots = gateway(redis, "gw-1", slots=1, lease=0.001)
    lease = await slots.claim()

    async def over() -> bool:
        return await now_ms(redis) > int((await record(redis, lease))["expiresAt"])

    await eventually(over, "the lease has run out")
    with pytest.raises(NoFreeSlot):
        await slots.claim()


async def test_a_slot_given_back_is_free_and_its_next_epoch_is_higher(redis):
    slots = gateway(redis, "gw-1", slots=1)
    before = await slots.claim()
    await slots.release(before)
    after = await gateway(redis, "gw-2", slots=1).claim()
    assert after.slot == before.slot
    assert after.epoch > before.epoch


async def test_a_slot_is_given_back_only_by_its_holder(redis):
    slots = gateway(redis, "gw-1", slots=1)
    old = await slots.claim()
    await slots.release(old)
    new = await gateway(redis, "gw-2", slots=1).claim()
    await slots.release(old)
    assert (await record(redis, new))["gateway"] == "gw-2"
    with pytest.raises(NoFreeSlot):
        await slots.claim()


async def test_a_slot_with_connections_of_a_dead_gateway_is_not_free(redis):
    await redis.sadd(redis_keys.slot_connections(Slot(0)), "c1")
    slots = gateway(redis, "gw-1", slots=2)
    assert (await slots.claim()).slot == 1
    with pytest.raises(NoFreeSlot):
        await slots.claim()
    await redis.delete(redis_keys.slot_connections(Slot(0)))
    assert (await slots.claim()).slot == 0


async def test_an_epoch_is_at_least_the_time_so_that_it_rises_though_redis_was_emptied(redis):
    slots = gateway(redis, "gw-1", slots=1)
    before = await slots.claim()
    await redis.flushdb()

    async def later() -> bool:
        return await now_ms(redis) > before.epoch

    await eventually(later, "the next millisecond")
    after = await slots.claim()
    assert after.epoch > before.epoch
    assert abs(after.epoch - time.time() * 1000) < 60_000


async def test_an_epoch_that_is_ahead_of_the_clock_rises_too(redis):
    ahead = round(time.time() * 1000) + 10**9
    await redis.hset(redis_keys.slot(Slot(0)), mapping={"gateway": "", "epoch": str(ahead)})
    assert (await gateway(redis, "gw-1").claim()).epoch == ahead + 1


async def holding(redis: Redis, change: Callable[[Lease], Awaitable[None]]) -> str:
    """What became of a lease after `change`: "lost", or "held" when the record came to be ours first."""
    slots = gateway(redis, "gw-1")
    lease = await slots.claim()
    holder = asyncio.create_task(slots.hold(lease, emptied=lambda: None))
    await change(lease)

    async def settled() -> bool:
        return holder.done() or (await record(redis, lease)).get("gateway") == "gw-1"

    try:
        await eventually(settled, "the lease is lost or renewed")
        return "lost" if holder.done() else "held"
    finally:
        holder.cancel()


async def test_a_lease_is_renewed_as_long_as_it_is_held(redis):
    async def shorten(lease: Lease) -> None:
        await redis.hset(redis_keys.slot(lease.slot), "expiresAt", "7")
        assert (await record(redis, lease))["expiresAt"] == "7"

    slots = gateway(redis, "gw-1")
    lease = await slots.claim()
    holder = asyncio.create_task(slots.hold(lease, emptied=lambda: None))
    await shorten(lease)

    async def renewed() -> bool:
        return int((await record(redis, lease))["expiresAt"]) > 7

    await eventually(renewed, "the lease is renewed")
    holder.cancel()


async def test_a_lease_survives_that_redis_is_emptied(redis):
    async def empty(_lease: Lease) -> None:
        await redis.flushdb()

    assert await holding(redis, empty) == "held"


async def test_a_lease_is_lost_when_the_slot_is_under_another_epoch(redis):
    async def take(lease: Lease) -> None:
        other = {"gateway": "gw-2", "epoch": str(lease.epoch + 1)}
        await redis.hset(redis_keys.slot(lease.slot), mapping=other)

    assert await holding(redis, take) == "lost"


async def test_a_slot_that_is_confirmed_is_under_a_newer_epoch(redis):
    slots = gateway(redis, "gw-1")
    claimed = await slots.claim()
    lease = await slots.confirm(claimed)
    assert lease is not None
    assert (lease.slot, lease.epoch > claimed.epoch) == (claimed.slot, True)
    found = await record(redis, lease)
    assert (found["gateway"], found["epoch"]) == ("gw-1", str(lease.epoch))
    assert int(found["expiresAt"]) > await now_ms(redis)


async def test_a_slot_that_somebody_took_is_not_confirmed(redis):
    slots = gateway(redis, "gw-1")
    claimed = await slots.claim()
    other = {"gateway": "gw-2", "epoch": str(claimed.epoch + 1)}
    await redis.hset(redis_keys.slot(claimed.slot), mapping=other)
    assert await slots.confirm(claimed) is None
    assert (await record(redis, claimed)).items() >= other.items()


async def test_a_slot_that_was_taken_and_emptied_is_confirmed_above_whoever_took_it(redis):
    slots = gateway(redis, "gw-1", slots=1)
    claimed = await slots.claim()
    await redis.flushdb()
    taken = await gateway(redis, "gw-2", slots=1).claim()
    await redis.flushdb()

    async def later() -> bool:
        return await now_ms(redis) > taken.epoch

    await eventually(later, "the next millisecond")
    lease = await slots.confirm(claimed)
    assert lease is not None
    assert lease.epoch > taken.epoch
