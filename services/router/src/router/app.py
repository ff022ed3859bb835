"""Composition root: makes everything of one router, starts it in order, and ends it.

health -> topics -> index from Redis -> interest log -> router group -> registry, reaper, bridge
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from common.channels import SYSTEM
from common.clock import SystemClock
from common.faststream import KafkaBroker, new_broker, start_broker, stop_broker
from common.health import Readiness, listen, serve_health
from common.kafka import Kafka, KafkaError
from common.lifecycle import Stopping, until_stopped, wait_for
from common.logs import get_logger
from common.producer import RenewedProducer
from common.redis import Redis, RedisError, connect_redis
from common.watch import watch
from router.bootstrap import bootstrap
from router.checkpoints import Checkpoints
from router.comparison import IndexComparison
from router.generations import Generations
from router.interest import InterestFold
from router.interest_log import InterestLog
from router.partitions import Partitions
from router.reaper import ExpiredLeases, Reaper
from router.records import Records
from router.redis_bridge import RedisBridge
from router.registry import Registry, subscribe
from router.settings import RouterSettings
from router.sweep import Sweep

log = get_logger("router")

CLIENT = "router"
_KAFKA_AWAY = (KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The parts of a router, before anything is connected."""

    settings: RouterSettings
    kafka: Kafka
    redis: Redis
    readiness: Readiness
    fold: InterestFold
    records: Records
    producer: RenewedProducer
    interest: InterestLog
    partitions: Partitions
    registry: Registry
    reaper: Reaper
    sweep: Sweep
    comparison: IndexComparison
    bridge: RedisBridge

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then leave the group with everything committed. Raises `StartupError`."""
        listener = listen(self.settings.metrics_host, self.settings.metrics_port, variable="METRICS_PORT")
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            stack.push_async_callback(self.redis.aclose)
            stack.push_async_callback(self.producer.stop)
            health = group.create_task(serve_health(self.readiness, listener))
            try:
                await self._serve(stop)
            except* Stopping:
                log.info("stopped_while_waiting")
            health.cancel()

    async def _serve(self, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            made = await wait_for("kafka", self._ensure_topics, errors=_KAFKA_AWAY, stop=stop)
            if self.settings.topics().rooms_interest not in made:
                await bootstrap(self.fold, self.records, slots=self.settings.slots)
            self.partitions.made(self._channels(made))
            await wait_for("kafka", self.interest.start, errors=_KAFKA_AWAY, stop=stop)
            stack.push_async_callback(self.interest.stop)
            await self._join(stack, stop)
            log.info("started")
            await self._work(stop)
            log.info("drained")

    async def _join(self, stack: AsyncExitStack, stop: asyncio.Event) -> None:
        """Join both groups, at once: a broker takes seconds to let the first member of a group in."""
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_for("kafka", self.partitions.start, errors=_KAFKA_AWAY, stop=stop))
            if self.settings.router_registry:
                broker = await wait_for("kafka", self._start_registry, errors=_KAFKA_AWAY, stop=stop)
                stack.push_async_callback(stop_broker, broker)

    async def _work(self, stop: asyncio.Event) -> None:
        """The interest log is read until the last partition is given up, the rest until then as well."""
        left = asyncio.Event()

        async def route() -> None:
            try:
                await self.partitions.run(stop)
            finally:
                left.set()

        await until_stopped(left, route(), *self._background())
        with suppress(RedisError):
            await self.bridge.release()

    def _background(self) -> list[Awaitable[None]]:
        settings = self.settings
        work: list[Awaitable[None]] = [
            self.interest.run(self.partitions.answer),
            watch(self.readiness, "kafka", self.partitions.check),
            watch(self.readiness, "redis", self._ping),
            self.comparison.run(),
        ]
        if settings.router_reaper:
            work.append(self.reaper.run(settings.router_reaper_interval.total_seconds()))
            work.append(self.sweep.run())
        if settings.router_bridge:
            work.append(self.bridge.run())
        return work

    async def _ping(self) -> None:
        await self.redis.ping()

    async def _ensure_topics(self) -> frozenset[str]:
        return await self.kafka.ensure_topics(self.settings.topics().specs())

    async def _start_registry(self) -> KafkaBroker:
        broker = new_broker(self.settings, client=CLIENT)
        subscribe(broker, self.registry, self.settings)
        return await start_broker(broker)

    def _channels(self, made: frozenset[str]) -> list[str]:
        topics = self.settings.topics()
        names = [name for name in topics.sources() if name in made]
        return [channel.value if (channel := topics.channel_of(name)) is not None else SYSTEM for name in names]


def build(settings: RouterSettings) -> App:
    """A router, not yet started. To be called with the event loop running."""
    clock, topics, name = SystemClock(), settings.topics(), f"router-{secrets.token_hex(4)}"
    kafka, redis = Kafka(settings, client=CLIENT), connect_redis(settings)
    fold, records, producer = InterestFold(), Records(redis), RenewedProducer(kafka)
    interest = InterestLog(kafka, topics, fold)
    generations = Generations(redis, clock)
    grace, lease = settings.router_reaper_grace.total_seconds(), settings.router_bridge_lease.total_seconds()
    lost = settings.slot_lease.total_seconds() + grace
    sweep_interval = settings.router_sweep_interval.total_seconds()
    return App(
        settings=settings,
        kafka=kafka,
        redis=redis,
        readiness=Readiness("kafka", "redis"),
        fold=fold,
        records=records,
        producer=producer,
        interest=interest,
        partitions=Partitions(
            settings,
            kafka,
            fold=fold,
            interest=interest,
            generations=generations,
            checkpoints=Checkpoints(redis),
            clock=clock,
        ),
        registry=Registry(settings, records),
        reaper=Reaper(redis, records, producer, topics, name=name, leases=ExpiredLeases(grace, lost), clock=clock),
        sweep=Sweep(redis, records, interval=sweep_interval),
        comparison=IndexComparison(fold, records, interval=sweep_interval),
        bridge=RedisBridge(redis, producer, topics, name=name, lease=lease),
    )
