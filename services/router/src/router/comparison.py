"""Comparison: what the index knows, against the interest that the registry has on record; both are made from the same log.

A room that the index lacks is added. One that it has beyond the record is left: what is routed to it in vain harms nobody, while to take it
away on the word of a Redis that was emptied would lose updates.
"""

from __future__ import annotations

import asyncio
import random

from common import metrics
from common.events import Interest
from common.identifiers import RoomId, Slot
from common.logs import describe, get_logger
from common.redis import RedisError
from router.interest import InterestFold, UnreadableInterest
from router.records import Records

log = get_logger("comparison")

_CONFIRM_SECONDS = 5.0
_jitter = random.Random()  # noqa: S311 - jitter, no secret


class IndexComparison:
    """`interval`: seconds between comparisons. `confirm`: seconds after which a difference is looked at again."""

    def __init__(
        self, fold: InterestFold, records: Records, *, interval: float, confirm: float = _CONFIRM_SECONDS
    ) -> None:
        self._fold = fold
        self._records = records
        self._interval = interval
        self._confirm = confirm

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval * _jitter.uniform(0.5, 1.0))
            try:
                await self.compare()
            except RedisError as error:
                log.info("index_not_compared", **describe(error))

    async def compare(self) -> int:
        """Add what the index lacks, and return how many rooms that were. Raises `RedisError`."""
        read = dict(self._fold.read)
        suspects = await self._lacking()
        if not suspects:
            return 0
        await asyncio.sleep(self._confirm)
        lacking = await self._lacking()
        recorded = await self._records.interest_offsets()
        if any(recorded.get(partition, 0) < offset for partition, offset in read.items()):
            # The registry is behind: it may not know yet what is wanted no more.
            return 0
        added = sum(self._add(slot, lacking[slot, room]) for slot, room in suspects.keys() & lacking.keys())
        if added:
            metrics.router_index_repaired_total.inc(added)
            log.warning("index_repaired", rooms=added)
        return added

    async def _lacking(self) -> dict[tuple[Slot, RoomId], bytes]:
        """Interest on record, of slots with a gateway, that the index lacks."""
        found: dict[tuple[Slot, RoomId], bytes] = {}
        for slot in self._fold.live():
            recorded = await self._records.rooms_of(slot)
            known = self._fold.index.rooms_of(slot)
            found.update(((slot, room), record) for room, record in recorded.items() if room not in known)
        return found

    def _add(self, slot: Slot, record: bytes) -> bool:
        """False where the record is of an older lease, or means nothing."""
        try:
            interest = Interest.model_validate_json(record)
            self._fold.apply(interest)
        except (ValueError, UnreadableInterest) as error:
            log.warning("interest_record_skipped", **describe(error))
            return False
        return interest.room in self._fold.index.rooms_of(slot)
