"""Compares, now and then, what Redis has on record of this gateway with what is so here, and tells the registry again where they differ.

The gateway knows the truth, so it is the one to compare; the registry stays the only one to write. A round goes over all connections in
small parts, spread over the interval; when Redis was seen emptied, at once. What differs is looked at again at the end of the round,
and what differs still is told by the same events as when it happened: under the same keys, so in order with what comes after.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import islice

from common import metrics
from common.identifiers import ConnectionId, FencingEpoch, RoomId, Slot
from common.logs import describe, get_logger
from common.redis import RedisError
from gateway.activation import Activation
from gateway.comparison import Difference, Held, differences, rooms_missing, strangers
from gateway.connections import Connections
from gateway.interest import InterestRecords
from gateway.recorded import RecordedSlot
from gateway.records import Records
from gateway.websocket import WebSocket

log = get_logger("restating")

_PART = 100
"""Connections that are looked at together: 2 ms of work."""
_HURRIED_PAUSE_SECONDS = 0.05
_CONFIRM_SECONDS = 5.0
"""Between the two looks: the registry is seldom further behind than this."""
_jitter = random.Random()  # noqa: S311 - jitter, no secret


class Restating:
    """`interval`: seconds of one round."""

    def __init__(
        self,
        recorded: RecordedSlot,
        connections: Connections,
        activation: Activation,
        interest: InterestRecords,
        records: Records,
        *,
        interval: float,
    ) -> None:
        self._recorded = recorded
        self._connections = connections
        self._activation = activation
        self._interest = interest
        self._records = records
        self._interval = interval
        self._confirm = min(_CONFIRM_SECONDS, interval)
        self._slot: Slot | None = None
        self._open: dict[ConnectionId, WebSocket] = {}
        self._hurry = asyncio.Event()

    def leased(self, slot: Slot, _epoch: FencingEpoch) -> None:
        self._slot = slot

    def lost(self) -> None:
        self._slot = None

    def emptied(self) -> None:
        """Redis lacks what it had: compare at once."""
        self._hurry.set()

    async def run(self) -> None:
        """One round after the other, until cancelled."""
        away = False
        while True:
            await self._pause(self._interval / 2 * _jitter.uniform(0.5, 1.0))
            # Also without a slot: a pause that is never one would hold the event loop for ever.
            hurried = self._hurry.is_set()
            self._hurry.clear()
            slot = self._slot
            if slot is None:
                continue
            try:
                await self._round(slot, hurried=hurried)
                away = False
            except RedisError as error:
                if not away:
                    log.warning("records_not_compared", **describe(error))
                away = True

    async def _round(self, slot: Slot, *, hurried: bool) -> None:
        self._open = {each.session.id: each for each in self._connections.authenticated()}
        parts = _parts(list(self._open))
        pause = _HURRIED_PAUSE_SECONDS if hurried else self._interval / 2 / max(1, len(parts))
        suspects: set[Difference] = set()
        for part in parts:
            suspects |= await self._look(slot, part)
            await self._pause(pause)
        suspects |= strangers(self._ours(), await self._recorded.connections(slot))
        rooms = rooms_missing(self._activation.wanted(), await self._recorded.rooms(slot))
        if suspects or rooms:
            await asyncio.sleep(self._confirm)
            await self._confirm_and_repair(slot, suspects, rooms)

    async def _confirm_and_repair(self, slot: Slot, suspects: set[Difference], rooms: set[tuple[RoomId, bool]]) -> None:
        again = strangers(self._ours(), await self._recorded.connections(slot))
        for part in _parts(list({each.connection for each in suspects})):
            again |= await self._look(slot, part)
        rooms &= rooms_missing(self._activation.wanted(), await self._recorded.rooms(slot))
        confirmed = suspects & again
        # What Kafka does not have yet the registry cannot know.
        if self._slot != slot or not self._records.is_idle or not (confirmed or rooms):
            return
        self._repair(confirmed)
        self._repair_interest(rooms)
        log.warning("records_repaired", slot=slot, connections=len(confirmed), rooms=len(rooms))

    async def _look(self, slot: Slot, connections: Collection[ConnectionId]) -> set[Difference]:
        recorded = await self._recorded.of(slot, self._held(connections))
        return differences(self._held(connections), recorded)

    def _ours(self) -> Collection[ConnectionId]:
        return {each.session.id for each in self._connections.authenticated()}

    def _held(self, connections: Collection[ConnectionId]) -> Held:
        """What is so now of these connections."""
        found: dict[ConnectionId, Collection[RoomId]] = {}
        for connection in connections:
            socket = self._open.get(connection)
            if socket is not None and self._connections.is_open(socket):
                found[connection] = frozenset(socket.session.rooms)
        return found

    def _repair(self, confirmed: Collection[Difference]) -> None:
        for connection, room, here in sorted(confirmed, key=_whole_first):
            kind = "connection" if room is None else "membership"
            metrics.gateway_records_repaired_total.labels(kind).inc()
            if room is None and not here:
                self._connections.restate_closed(connection)
            elif (socket := self._open.get(connection)) is not None:
                self._connections.restate(socket, room, held=here)

    def _repair_interest(self, rooms: Collection[tuple[RoomId, bool]]) -> None:
        for room, wanted in rooms:
            metrics.gateway_records_repaired_total.labels("interest").inc()
            if wanted:
                self._activation.restate(room, now=self._connections.now())
            else:
                self._interest.take_back(room)

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until there is hurry."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()


def _parts(connections: Sequence[ConnectionId]) -> Sequence[Sequence[ConnectionId]]:
    each = iter(connections)
    return list(iter(lambda: list(islice(each, _PART)), []))


def _whole_first(difference: Difference) -> tuple[ConnectionId, bool]:
    return difference.connection, difference.room is not None
