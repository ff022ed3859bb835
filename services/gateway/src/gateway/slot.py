"""The lease of a slot: claimed, confirmed, renewed, seen to be lost, given back (docs/operations.md).

Redis being away is no loss: nobody else can take the slot either, so sockets stay and updates flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from common import redis_keys
from common.errors import DefistreamError
from common.identifiers import FencingEpoch, GatewayId, Slot
from common.logs import describe, get_logger
from common.redis import Redis, RedisError, load_script

log = get_logger("slot")

_LOST, _WRITTEN_ANEW = 0, 2
"""What `renew_slot.lua` returns besides 1."""


@dataclass(frozen=True, slots=True)
class Lease:
    slot: Slot
    epoch: FencingEpoch


class NoFreeSlot(DefistreamError):
    """Every slot is leased, or is being emptied after a dead gateway."""

    def __init__(self, slots: int) -> None:
        super().__init__(
            f"none of the {slots} slots is free; raise SLOTS, or wait until a dead gateway's slot is emptied"
        )


class Slots:
    """`lease` is the whole time in seconds within which a dead gateway's slot is taken from it: two thirds of it is how long a renewal
    holds, the rest is the reaper's (`router.reaper`).
    """

    def __init__(self, redis: Redis, gateway: GatewayId, *, slots: int, lease: float) -> None:
        self._gateway = gateway
        self._numbers = [Slot(number) for number in range(slots)]
        self._held_ms = round(lease * 2 / 3 * 1000)
        self._renew_every = lease / 5
        self._claim = load_script(redis, "gateway", "claim_slot")
        self._confirm = load_script(redis, "gateway", "confirm_slot")
        self._renew = load_script(redis, "gateway", "renew_slot")
        self._release = load_script(redis, "gateway", "release_slot")

    async def claim(self) -> Lease:
        """A free slot under a new fencing epoch. Raises `NoFreeSlot`, `RedisError`."""
        keys = [name(number) for number in self._numbers for name in (redis_keys.slot, redis_keys.slot_connections)]
        found = await self._claim(keys=keys, args=[self._gateway, self._held_ms])
        if found is None:
            raise NoFreeSlot(len(self._numbers))
        slot, epoch = cast(list[int], found)
        return Lease(Slot(int(slot)), FencingEpoch(int(epoch)))

    async def confirm(self, claimed: Lease) -> Lease | None:
        """The slot under another epoch, to be taken once its deliveries are read; `None` when it is somebody else's. Raises `RedisError`.

        Who takes the slot from us says so there, under an epoch above this one; what was said between the claim and the first read nobody
        here has heard, and Redis may have been emptied since.
        """
        epoch = await self._confirm(
            keys=[redis_keys.slot(claimed.slot)], args=[self._gateway, claimed.epoch, self._held_ms]
        )
        if epoch is None:
            log.warning("slot_lost", slot=claimed.slot, epoch=claimed.epoch)
            return None
        return Lease(claimed.slot, FencingEpoch(int(epoch)))

    async def hold(self, lease: Lease, *, emptied: Callable[[], None]) -> None:
        """Renew until the slot is seen under a newer epoch; returns then. Cancel to stop. `emptied` is called when Redis had lost it."""
        away = False
        while True:
            await asyncio.sleep(self._renew_every)
            try:
                held = await self._renew(
                    keys=[redis_keys.slot(lease.slot)], args=[self._gateway, lease.epoch, self._held_ms]
                )
            except RedisError as error:
                if not away:
                    log.warning("lease_not_renewed", slot=lease.slot, **describe(error))
                away = True
                continue
            if away:
                log.info("lease_renewed", slot=lease.slot)
                away = False
            if held == _LOST:
                log.warning("slot_lost", slot=lease.slot, epoch=lease.epoch)
                return
            if held == _WRITTEN_ANEW:
                log.warning("lease_written_anew", slot=lease.slot, epoch=lease.epoch)
                emptied()

    async def release(self, lease: Lease) -> None:
        """Give the slot back, if it is still ours. Raises `RedisError`."""
        await self._release(keys=[redis_keys.slot(lease.slot)], args=[lease.epoch])
