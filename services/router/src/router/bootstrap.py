"""Bootstrap: the interest that Redis has on record, so that not all of `rooms.interest` must be read at start."""

from __future__ import annotations

from collections.abc import Mapping

from common.events import Interest
from common.identifiers import Slot
from common.logs import describe, get_logger
from common.redis import RedisError
from router.interest import InterestFold, UnreadableInterest
from router.interest_log import STREAMS
from router.records import RecordedSlot, Records

log = get_logger("bootstrap")


async def bootstrap(fold: InterestFold, records: Records, *, slots: int) -> bool:
    """Fill an empty fold from Redis. False, and the fold as it was, where Redis does not know everything, or is away.

    The offsets are read first: records from there on are folded again over what was read, which changes nothing.
    """
    try:
        offsets = await records.interest_offsets()
        streams = await records.streams()
        if not offsets or not set(STREAMS) <= set(streams):
            return False
        recorded = {slot: await records.slot(slot) for slot in map(Slot, range(slots))}
    except RedisError as error:
        log.warning("index_without_redis", **describe(error))
        return False
    if not all(_has_seen(each, offsets) for each in recorded.values()):
        log.info("index_without_redis", reason="emptied meanwhile")
        return False
    fold.streams.update(streams)
    fold.read.update(offsets)
    fold.holders.update({slot: each.holder for slot, each in recorded.items() if each.holder is not None})
    for each in recorded.values():
        for record in each.rooms:
            _add(fold, record)
    log.info("index_from_redis", rooms=len(fold.index))
    return True


def _has_seen(recorded: RecordedSlot, offsets: Mapping[int, int]) -> bool:
    """False where Redis was emptied, or put back, since the offsets were read."""
    return all(recorded.offsets.get(partition, 0) >= offset for partition, offset in offsets.items())


def _add(fold: InterestFold, record: bytes) -> None:
    try:
        fold.apply(Interest.model_validate_json(record))
    except (ValueError, UnreadableInterest) as error:
        log.warning("interest_record_skipped", **describe(error))
