"""Outgoing: sends the lanes to `deliveries`, one record a slot at a time, and reports what the broker has acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from common import metrics
from common.clock import Clock
from common.deliveries import EncodedItem, Item, encode_item, encode_segments
from common.identifiers import FencingEpoch, Slot
from common.kafka import MAX_RECORD_BYTES, KafkaError
from router.commits import Tick
from router.lanes import Lane, Origin

Headers = Sequence[tuple[str, bytes]]


class Publisher(Protocol):
    """Sends records. Awaiting gives a future: the broker's acknowledgement. Raises `KafkaError`, now or by the future."""

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Headers | None = None,
    ) -> asyncio.Future[object]: ...


class Outgoing:
    """What routers tell gateways, in order per slot.

    `add` only takes things in memory; `run` sends them. After a failure nothing more is sent until `restart`, which drops what waits.
    """

    def __init__(
        self,
        topic: str,
        *,
        epoch_of: Callable[[Slot], FencingEpoch],
        acknowledged: Callable[[Tick], None],
        failed: Callable[[KafkaError], None],
        clock: Clock,
        pending_bytes: int,
    ) -> None:
        self._topic = topic
        self._epoch_of = epoch_of
        self._acknowledged = acknowledged
        self._failed = failed
        self._clock = clock
        self._limit = pending_bytes
        self._publisher: Publisher | None = None
        self._lanes: dict[Slot, Lane] = {}
        self._sendable: dict[Slot, None] = {}
        self._work = asyncio.Event()
        self._moved = asyncio.Event()
        self._bytes = 0
        self._run_number = 0

    def restart(self, publisher: Publisher | None) -> None:
        """Begin anew with this publisher; `None` holds everything back. Drops what waits and the acknowledgements still to come."""
        self._publisher = publisher
        self._run_number += 1
        self._lanes.clear()
        self._sendable.clear()
        self._bytes = 0
        self._moved.set()

    def add(self, slot: Slot, origin: Origin, items: Sequence[Item], *, tick: Tick | None = None) -> None:
        """Put items at the end of a slot's lane; `acknowledged(tick)` is called when all of them are through."""
        self.add_encoded(slot, origin, [encode_item(item) for item in items], tick=tick)

    def add_encoded(self, slot: Slot, origin: Origin, items: list[EncodedItem], *, tick: Tick | None = None) -> None:
        """The same of items that are encoded already."""
        lane = self._lanes.get(slot)
        if lane is None:
            lane = self._lanes[slot] = Lane()
        self._bytes += lane.add(origin, items, tick, self._epoch_of(slot))
        if lane.sendable:
            self._sendable[slot] = None
            self._work.set()

    async def room(self, limit: int | None = None) -> None:
        """Return once there is room for more: at most `limit` bytes wait, or as many as may. Safe to cancel."""
        most = self._limit if limit is None else limit
        while self._bytes > most:
            self._moved.clear()
            await self._moved.wait()

    async def run(self) -> None:
        """Send what comes until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._sendable and self._publisher is not None:
                slot = next(iter(self._sendable))
                del self._sendable[slot]
                await self._send(slot, self._publisher)

    async def _send(self, slot: Slot, publisher: Publisher) -> None:
        lane, run_number = self._lanes[slot], self._run_number
        epoch = lane.epoch
        segments, taken = lane.take(MAX_RECORD_BYTES - 1024)
        value = encode_segments(epoch, self._clock.now_ms(), segments)
        try:
            future = await publisher.send(self._topic, value, partition=slot)
        except KafkaError as error:
            if run_number == self._run_number:
                self._failed(error)
            return
        future.add_done_callback(lambda done: self._sent(done, slot, lane, taken, run_number))

    def _sent(self, future: asyncio.Future[object], slot: Slot, lane: Lane, taken: int, run_number: int) -> None:
        error = None if future.cancelled() else future.exception()
        if run_number != self._run_number or future.cancelled():
            return
        if error is not None:
            self._failed(error if isinstance(error, KafkaError) else KafkaError(str(error)))
            return
        metrics.router_deliveries_total.inc()
        self._bytes -= taken
        self._moved.set()
        for tick in lane.acknowledged():
            self._acknowledged(tick)
        if lane.sendable:
            self._sendable[slot] = None
            self._work.set()
