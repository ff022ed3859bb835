"""Reaper: frees the slots of dead gateways, with all that they left in Redis and in `rooms.interest`.

Every router has one. A lease that is over is watched for a while, so that a gateway whose renewal was late keeps its slot; then one
reaper takes the slot under a new epoch, cleans up, and frees it. A reaper that dies on the way leaves a lease that ends in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from common import metrics, redis_keys
from common.clock import Clock
from common.deliveries import encode_segments
from common.events import SlotTaken
from common.identifiers import FencingEpoch, Slot
from common.kafka import KafkaError
from common.logs import describe, get_logger
from common.redis import Redis, RedisError, load_script
from common.topics import EPOCH_HEADER, Topics, interest_key, slot_key
from router.outgoing import Publisher
from router.records import Records

log = get_logger("reaper")

_HOLD_MS = 10_000
"""A reaper that takes longer than this for one slot loses it to another, which does the same again."""
_CLEANUP_SECONDS = 9.0


class ExpiredLeases:
    """Which leases were seen expired for `grace` seconds in a row; those that are not on record, for `lost` seconds. Pure: `now` in
    monotonic seconds.

    A lease is not on record when Redis was emptied: a gateway that lives writes it anew with its next renewal.
    """

    def __init__(self, grace: float, lost: float) -> None:
        self._grace = grace
        self._lost = lost
        self._since: dict[tuple[Slot, FencingEpoch], float] = {}

    def due(self, expired: Mapping[Slot, FencingEpoch], *, now: float) -> Sequence[tuple[Slot, FencingEpoch]]:
        """Take what was seen just now. Returns those that are to be taken."""
        self._since = {each: self._since.get(each, now) for each in expired.items()}
        return [
            (slot, epoch)
            for (slot, epoch), since in self._since.items()
            if now - since >= (self._grace if epoch else self._lost)
        ]

    def forget(self) -> None:
        """Redis could not be asked: gateways could not renew either, so the watch begins again."""
        self._since.clear()


class Reaper:
    def __init__(
        self,
        redis: Redis,
        records: Records,
        publisher: Publisher,
        topics: Topics,
        *,
        name: str,
        leases: ExpiredLeases,
        clock: Clock,
    ) -> None:
        self._records = records
        self._publisher = publisher
        self._deliveries, self._interest = topics.deliveries, topics.rooms_interest
        self._slots = [Slot(number) for number in range(topics.slots)]
        self._name = f"reaper:{name}"
        self._clock = clock
        self._leases = leases
        self._expired = load_script(redis, "router", "slots_expired")
        self._reaped = load_script(redis, "router", "slot_reaped")
        self._emptied = load_script(redis, "router", "slot_emptied")

    async def run(self, interval: float) -> None:
        """Look each `interval` seconds, until cancelled."""
        away = False
        while True:
            try:
                await self.look()
                away = False
            except RedisError as error:
                self._leases.forget()
                if not away:
                    log.warning("slots_not_watched", **describe(error))
                away = True
            except (KafkaError, TimeoutError) as error:
                log.warning("slot_not_emptied", **describe(error))
            await asyncio.sleep(interval)

    async def look(self) -> None:
        """Look once at all leases, and free the slots that are due. Raises `RedisError`, `KafkaError`, `TimeoutError`."""
        keys = [key for slot in self._slots for key in _keys(slot)]
        found: list[Any] = await self._expired(keys=keys)
        expired = {
            self._slots[int(at)]: FencingEpoch(int(epoch)) for at, epoch in zip(found[::2], found[1::2], strict=True)
        }
        for slot, epoch in self._leases.due(expired, now=self._clock.monotonic()):
            taken = await self._reaped(keys=[redis_keys.slot(slot)], args=[self._name, epoch, _HOLD_MS])
            if taken is not None:
                async with asyncio.timeout(_CLEANUP_SECONDS):
                    await self._empty(slot, FencingEpoch(int(taken)))

    async def _empty(self, slot: Slot, epoch: FencingEpoch) -> None:
        """In an order in which each step may be the last: what tells others comes before what is forgotten."""
        await self._fence(slot, epoch)
        await (await self._publisher.send(self._interest, SlotTaken(slot=slot, epoch=epoch).encode(), slot_key(slot)))
        rooms = await self._records.rooms_of(slot)
        headers = [(EPOCH_HEADER, str(epoch).encode())]
        sent = [
            await self._publisher.send(self._interest, None, interest_key(slot, room), headers=headers)
            for room in rooms
        ]
        await asyncio.gather(*sent)
        connections = await self._records.connections_of(slot)
        removed = await self._records.remove(slot, connections)
        await self._emptied(keys=_keys(slot), args=[epoch])
        metrics.router_reaped_slots_total.inc()
        metrics.router_reaped_connections_total.inc(removed)
        log.warning("slot_reaped", slot=slot, epoch=epoch, connections=removed, rooms=len(rooms))

    async def _fence(self, slot: Slot, epoch: FencingEpoch) -> None:
        """Tell the gateway that had the slot, should it live, by a delivery of nothing under the new epoch.

        Before routers hear of the epoch: Redis may be emptied before that gateway looks, and has told it nothing then, while they pass over
        whatever it says.
        """
        nothing = encode_segments(epoch, self._clock.now_ms(), [])
        await (await self._publisher.send(self._deliveries, nothing, partition=slot))


def _keys(slot: Slot) -> list[str]:
    return [redis_keys.slot(slot), redis_keys.slot_connections(slot), redis_keys.slot_rooms(slot)]
