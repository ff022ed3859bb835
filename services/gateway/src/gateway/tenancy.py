"""Living in a slot: take one, serve in it, and leave it, by being fenced or by draining.

claim -> read its deliveries -> confirm -> serve -- slot seen under a newer epoch --> close sockets (4004) -> claim another
                                           \\- stop --> drain -> say what is over -> release
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from common.clock import Clock
from common.health import Readiness
from common.identifiers import FencingEpoch, Slot
from common.kafka import AIOKafkaConsumer, KafkaError
from common.lifecycle import Stopping, wait_for
from common.logs import describe, get_logger
from common.redis import RedisError
from gateway.auth_replies import RepliesReader
from gateway.connections import Connections
from gateway.deliveries import DeliveriesReader
from gateway.drain import drain
from gateway.hub import Hub
from gateway.interest import InterestRecords
from gateway.records import Records
from gateway.restating import Restating
from gateway.slot import Lease, NoFreeSlot, Slots

log = get_logger("tenancy")

_FLUSH_SECONDS = 5.0


class Tenant(Protocol):
    """A part that works under the present lease."""

    def leased(self, slot: Slot, epoch: FencingEpoch) -> None: ...

    def lost(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """`drain_limit`: seconds in which the last socket is closed after a stop."""

    slots: Slots
    tenants: Sequence[Tenant]
    deliveries: DeliveriesReader
    replies: RepliesReader
    hub: Hub
    interest: InterestRecords
    connections: Connections
    records: Records
    restating: Restating
    readiness: Readiness
    clock: Clock
    drain_limit: float

    async def run(self, stop: asyncio.Event) -> None:
        """Serve in one slot after the other until `stop` is set and the last one is drained."""
        while not stop.is_set():
            claimed = await wait_for("a slot", self.slots.claim, errors=(RedisError, NoFreeSlot), stop=stop)
            async with AsyncExitStack() as stack:
                try:
                    deliveries = await self._open(self.deliveries.open, claimed, stack, stop)
                    replies = await self._open(self.replies.open, claimed, stack, stop)
                    lease = await wait_for(
                        "the slot", partial(self.slots.confirm, claimed), errors=(RedisError,), stop=stop
                    )
                except Stopping:
                    await self._release(claimed)
                    return
                if lease is not None:
                    await self._serve(lease, deliveries, replies, stop)

    async def _open(
        self,
        attempt: Callable[[Lease], Awaitable[AIOKafkaConsumer]],
        claimed: Lease,
        stack: AsyncExitStack,
        stop: asyncio.Event,
    ) -> AIOKafkaConsumer:
        """A consumer that ends with the stack. The slot is held meanwhile: it may take longer than a lease lasts."""
        holding = asyncio.create_task(self.slots.hold(claimed, emptied=lambda: None))
        try:
            consumer = await wait_for("kafka", lambda: attempt(claimed), errors=(KafkaError, OSError), stop=stop)
        finally:
            holding.cancel()
        stack.push_async_callback(consumer.stop)
        return consumer

    async def _serve(
        self, lease: Lease, deliveries: AIOKafkaConsumer, replies: AIOKafkaConsumer, stop: asyncio.Event
    ) -> None:
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self.slots.hold(lease, emptied=self.restating.emptied))
            reading = group.create_task(self.deliveries.run(deliveries, lease))
            answered = group.create_task(self.replies.run(replies))
            self._begin(lease)
            stopping = group.create_task(_until(stop))
            await asyncio.wait((holding, reading, stopping), return_when=asyncio.FIRST_COMPLETED)
            await (self._leave(lease) if stop.is_set() else self._lose(lease))
            for task in (holding, reading, answered, stopping):
                task.cancel()

    def _begin(self, lease: Lease) -> None:
        for tenant in self.tenants:
            tenant.leased(lease.slot, lease.epoch)
        self.readiness.available("slot")
        log.info("ready", slot=lease.slot, epoch=lease.epoch)

    async def _lose(self, lease: Lease) -> None:
        """Another gateway has the slot, or deliveries were lost: nobody here may go on as if nothing had been missed."""
        self.readiness.missing("slot", "the slot was lost")
        log.warning("slot_left", slot=lease.slot, connections=len(self.connections))
        for tenant in self.tenants:
            tenant.lost()
        self.hub.clear()

    async def _leave(self, lease: Lease) -> None:
        self.readiness.missing("slot", "draining")
        await drain(self.connections, self.clock, limit=self.drain_limit)
        self.interest.released()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self.records.flushed()
        await self._release(lease)
        log.info("drained", slot=lease.slot)

    async def _release(self, lease: Lease) -> None:
        try:
            await self.slots.release(lease)
        except RedisError as error:
            log.warning("slot_not_released", slot=lease.slot, **describe(error))


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
