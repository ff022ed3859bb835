"""Generations: numbers that rise with each new owner of a source partition, drawn from Redis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common import redis_keys
from common.clock import Clock
from common.identifiers import Generation
from common.logs import describe, get_logger
from common.redis import Redis, RedisError, load_script
from router.sources import Source

log = get_logger("generations")


class Generations:
    """Draws `max(last + 1, now in ms)`: it rises even when Redis was emptied, and without Redis by this process' own clock and memory."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._script = load_script(redis, "router", "next_generation")
        self._clock = clock
        self._known: dict[Source, int] = {}

    async def draw(self, sources: Iterable[Source]) -> Mapping[Source, Generation]:
        """The next generation of each."""
        wanted = list(sources)
        if not wanted:
            return {}
        now = self._clock.now_ms()
        # What this process knows goes along, so that numbers drawn while Redis was away stay below the next.
        floors = [max(self._known.get(source, 0) + 1, now) for source in wanted]
        try:
            numbers = await self._script(keys=[redis_keys.generation(*source) for source in wanted], args=floors)
        except RedisError as error:
            log.warning("generations_without_redis", **describe(error))
            numbers = floors
        self._known.update(zip(wanted, map(int, numbers), strict=True))
        return {source: Generation(self._known[source]) for source in wanted}
