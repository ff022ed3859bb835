"""Whether Kafka and Redis still answer: what `/readyz` says while the service runs."""

from __future__ import annotations

import asyncio

from common.health import Readiness
from common.kafka import AIOKafkaProducer
from common.logs import get_logger
from common.redis import Redis, RedisError

log = get_logger("watch")

INTERVAL_SECONDS = 3.0
LIMIT_SECONDS = 5.0


async def watch(readiness: Readiness, redis: Redis, producer: AIOKafkaProducer) -> None:
    """Ask both at once and every few seconds until cancelled; a change is logged once."""
    while True:
        _tell(readiness, "redis", await _redis_problem(redis))
        _tell(readiness, "kafka", await _kafka_problem(producer))
        await asyncio.sleep(INTERVAL_SECONDS)


def _tell(readiness: Readiness, dependency: str, problem: str | None) -> None:
    before = readiness.to_json()[dependency] == "ok"
    if problem is None:
        readiness.available(dependency)
        if not before:
            log.info("available", what=dependency)
        return
    readiness.missing(dependency, problem)
    if before:
        log.warning("unavailable", what=dependency, reason=problem)


async def _redis_problem(redis: Redis) -> str | None:
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await redis.ping()
    except (RedisError, TimeoutError) as error:
        return str(error) or "no answer"
    return None


async def _kafka_problem(producer: AIOKafkaProducer) -> str | None:
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            answered = await producer.client.force_metadata_update()
    except TimeoutError:
        answered = False
    return None if answered else "no broker answers"
