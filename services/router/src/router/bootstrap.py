"""Bootstrap: the interest that Redis has on record, so that not all of `rooms.interest` must be read at start."""

from __future__ import annotations

from common.events import Interest
from common.identifiers import Slot
from common.logs import describe, get_logger
from common.redis import RedisError
from router.interest import InterestFold, UnreadableInterest
from router.interest_log import STREAMS
from router.records import Records

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
        numbers = [Slot(number) for number in range(slots)]
        holders = await records.holders(numbers)
        rooms = [await records.rooms_of(slot) for slot in numbers]
    except RedisError as error:
        log.warning("index_without_redis", **describe(error))
        return False
    fold.streams.update(streams)
    fold.read.update(offsets)
    fold.holders.update(holders)
    for wanted in rooms:
        for record in wanted.values():
            _add(fold, record)
    log.info("index_from_redis", rooms=len(fold.index))
    return True


def _add(fold: InterestFold, record: bytes) -> None:
    try:
        fold.apply(Interest.model_validate_json(record))
    except (ValueError, UnreadableInterest) as error:
        log.warning("interest_record_skipped", **describe(error))
