"""The composition root: everything is made here, and started and ended in order.

health -> Redis -> Kafka: topics, producer -> revocations read to their end -> requests
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from auth.breaker import CircuitBreaker
from auth.cache import RecentDecisions, RedisDecisions
from auth.key_stores import KeyStore
from auth.key_stores.http import Bounds, Call, HttpKeyStore
from auth.key_stores.redis import RedisKeyStore
from auth.replies import KafkaReplies
from auth.requests import Requests, subscribe
from auth.revocations import RevocationsReader, Revoked
from auth.settings import AuthSettings
from auth.validation import Lifetimes, Validator
from common.clock import Clock, SystemClock
from common.faststream import KafkaBroker, new_broker, start_broker, stop_broker
from common.health import Readiness, listen, serve_health
from common.identifiers import KeyHash
from common.kafka import Kafka, KafkaError
from common.lifecycle import Stopping, wait_for
from common.logs import get_logger
from common.producer import RenewedProducer
from common.redis import Redis, RedisError, connect_redis
from common.watch import watch

log = get_logger("auth")

CLIENT = "auth"
_KAFKA_AWAY = (KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class App:
    """The parts of the service that exist before anything is connected."""

    settings: AuthSettings
    clock: Clock
    kafka: Kafka
    redis: Redis
    store: KeyStore
    recent: RecentDecisions
    shared: RedisDecisions
    revoked: Revoked
    revocations: RevocationsReader
    readiness: Readiness

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain: the batch in hand is answered and committed, the group left.

        Raises `StartupError`, alone or in a group, when the settings cannot work.
        """
        listener = listen(self.settings.metrics_host, self.settings.metrics_port, variable="METRICS_PORT")
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            stack.push_async_callback(self.redis.aclose)
            stack.push_async_callback(self.store.aclose)
            background = [group.create_task(serve_health(self.readiness, listener))]
            with contextlib.suppress(Stopping):
                await self._serve(stop, group, background)
            for task in background:
                task.cancel()

    async def _serve(self, stop: asyncio.Event, group: asyncio.TaskGroup, background: list[asyncio.Task[None]]) -> None:
        producer = await self._connect(stop)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(producer.stop)
            background.append(group.create_task(self.revocations.run()))
            await _complete_or_stopped(self.revocations, stop)
            self.readiness.available("revocations")
            replies = KafkaReplies(producer, self.settings.topics().auth_replies, self.clock)
            await stack.enter_async_context(self._consuming(replies, stop))
            for name, ask in (("redis", self._ping), ("kafka", producer.check), ("replies", replies.check)):
                background.append(group.create_task(watch(self.readiness, name, ask)))
            log.info("ready", key_store=self.settings.auth_key_store, revoked=len(self.revoked))
            await stop.wait()
            log.info("draining")

    async def _connect(self, stop: asyncio.Event) -> RenewedProducer:
        await wait_for("redis", self._ping, errors=(RedisError,), stop=stop)
        self.readiness.available("redis")
        topics = self.settings.topics().specs()
        await wait_for("kafka", lambda: self.kafka.ensure_topics(topics), errors=_KAFKA_AWAY, stop=stop)
        # An idempotent producer that a broker's restart has put out of step refuses everything from then on.
        producer = RenewedProducer(self.kafka)
        await wait_for("kafka", producer.start, errors=_KAFKA_AWAY, stop=stop)
        self.readiness.available("kafka")
        return producer

    async def _ping(self) -> None:
        await self.redis.ping()

    @asynccontextmanager
    async def _consuming(self, replies: KafkaReplies, stop: asyncio.Event) -> AsyncIterator[None]:
        requests = self._requests(replies)
        broker = await wait_for("kafka", lambda: self._start_broker(requests), errors=_KAFKA_AWAY, stop=stop)
        self.readiness.available("requests")
        try:
            yield
        finally:
            self.readiness.missing("requests", "draining")
            await stop_broker(broker)

    async def _start_broker(self, requests: Requests) -> KafkaBroker:
        broker = new_broker(self.settings, client=CLIENT)
        subscribe(broker, requests, self.settings)
        return await start_broker(broker)

    def _requests(self, replies: KafkaReplies) -> Requests:
        settings = self.settings
        lifetimes = Lifetimes.of(settings.auth_cache_ttl, settings.auth_cache_negative_ttl)
        validator = Validator(self.store, self.recent, self.shared, self.revoked, lifetimes=lifetimes, clock=self.clock)
        max_age_ms = round(settings.auth_request_max_age.total_seconds() * 1000)
        return Requests(validator, replies, slots=settings.slots, max_age_ms=max_age_ms, clock=self.clock)


def build(settings: AuthSettings) -> App:
    """The service, not yet started. To be called with the event loop running."""
    clock = SystemClock()
    kafka, redis = Kafka(settings, client=CLIENT), connect_redis(settings)
    recent, shared, revoked = RecentDecisions(settings.auth_cache_size, clock), RedisDecisions(redis, clock), Revoked()

    async def forget(hashes: Collection[KeyHash]) -> None:
        recent.drop(hashes)
        await shared.drop(hashes)
        log.info("keys_revoked", keys=len(hashes))

    return App(
        settings=settings,
        clock=clock,
        kafka=kafka,
        redis=redis,
        store=_key_store(settings, redis, clock),
        recent=recent,
        shared=shared,
        revoked=revoked,
        revocations=RevocationsReader(kafka, settings.topics().auth_revocations, revoked, forget),
        readiness=Readiness("redis", "kafka", "revocations", "requests", "replies"),
    )


def _key_store(settings: AuthSettings, redis: Redis, clock: Clock) -> KeyStore:
    if settings.auth_key_store == "redis":
        return RedisKeyStore(redis)
    call = Call(
        url=settings.auth_http_url or "",
        method=settings.auth_http_method,
        header=settings.http_header(),
        unknown_statuses=frozenset(settings.auth_http_unknown_statuses),
    )
    bounds = Bounds(
        timeout=settings.auth_http_timeout.total_seconds(),
        batch_timeout=settings.auth_http_batch_timeout.total_seconds(),
        concurrency=settings.auth_http_concurrency,
    )
    breaker = CircuitBreaker(settings.auth_http_breaker_failures, settings.auth_http_breaker_open.total_seconds())
    return HttpKeyStore(call, settings.answer_fields(), bounds, breaker, clock)


async def _complete_or_stopped(revocations: RevocationsReader, stop: asyncio.Event) -> None:
    """Returns when the revocations are read to their end. Raises `Stopping` when `stop` is set first."""
    reading, stopping = asyncio.ensure_future(revocations.complete()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        reading.cancel()
        stopping.cancel()
    if stop.is_set():
        raise Stopping
