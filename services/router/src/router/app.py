"""Composition root: makes everything of one router and runs it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from common.clock import SystemClock
from common.health import Readiness, listen, serve_health
from common.kafka import Kafka, KafkaError
from common.lifecycle import until_stopped, wait_for
from common.logs import get_logger
from common.redis import Redis, connect_redis
from router.dependencies import watch
from router.generations import Generations
from router.interest import InterestFold
from router.interest_log import InterestLog
from router.partitions import Partitions
from router.settings import RouterSettings

log = get_logger("app")


@dataclass(frozen=True, slots=True)
class App:
    settings: RouterSettings
    kafka: Kafka
    redis: Redis
    readiness: Readiness
    interest: InterestLog
    partitions: Partitions

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then leave the group with everything committed."""
        listener = listen(self.settings.metrics_host, self.settings.metrics_port, variable="METRICS_PORT")
        health = asyncio.create_task(serve_health(self.readiness, listener))
        try:
            await self._start(stop)
            await self._serve(stop)
        finally:
            health.cancel()
            await asyncio.gather(health, return_exceptions=True)
            await self.interest.stop()
            await self.redis.aclose()

    async def _start(self, stop: asyncio.Event) -> None:
        await wait_for("kafka", self._ensure_topics, errors=(KafkaError, OSError), stop=stop)
        await wait_for("kafka", self.interest.start, errors=(KafkaError,), stop=stop)
        await wait_for("kafka", self.partitions.start, errors=(KafkaError,), stop=stop)

    async def _ensure_topics(self) -> None:
        await self.kafka.ensure_topics(self.settings.topics().specs())

    async def _serve(self, stop: asyncio.Event) -> None:
        ended = asyncio.Event()

        async def route() -> None:
            try:
                await self.partitions.run(stop)
            finally:
                ended.set()

        await until_stopped(
            ended,
            route(),
            self.interest.run(self.partitions.activate),
            watch(self.readiness, "kafka", self.partitions.check),
            watch(self.readiness, "redis", self.redis.ping),
        )


def build(settings: RouterSettings) -> App:
    clock = SystemClock()
    kafka = Kafka(settings, client="router")
    redis = connect_redis(settings)
    readiness = Readiness("kafka", "redis")
    fold = InterestFold()
    interest = InterestLog(kafka, settings.topics(), fold)
    generations = Generations(redis, clock)
    partitions = Partitions(settings, kafka, fold=fold, interest=interest, generations=generations, clock=clock)
    return App(settings, kafka, redis, readiness, interest, partitions)
