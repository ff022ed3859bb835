"""The composition root: everything is made here, and started and ended in order.

HTTP and health -> Kafka: topics, producer, revocations -> a slot (`tenancy`): deliveries, auth replies
SIGTERM: not ready -> sockets told and closed in slices -> events flushed -> slot given back
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from starlette.applications import Starlette

from common.channels import Channel
from common.clock import Clock, SystemClock
from common.health import Readiness, listen
from common.identifiers import KeyHash, hash_api_key, new_gateway_id
from common.kafka import Kafka, KafkaError
from common.lifecycle import Stopping, wait_for
from common.logs import get_logger
from common.producer import RenewedProducer
from common.redis import Redis, RedisError, connect_redis
from common.watch import watch
from gateway.activation import Activation
from gateway.auth_replies import RepliesReader
from gateway.authentication import Authentication
from gateway.broadcasts import Publisher
from gateway.catching import CatchingUp
from gateway.connections import Admission, Connections
from gateway.cursors import CursorCheck
from gateway.deliveries import DeliveriesReader
from gateway.file_limit import raise_file_limit
from gateway.http import Broadcast, build_http
from gateway.hub import Hub
from gateway.interest import InterestRecords
from gateway.outages import Outages
from gateway.positions import Positions
from gateway.protocol.session import Profile
from gateway.recent import Recent
from gateway.recorded import RecordedSlot
from gateway.records import Records
from gateway.reports import Reports
from gateway.restating import Restating
from gateway.revocations import RevocationsReader
from gateway.server import GatewayServer
from gateway.settings import GatewaySettings
from gateway.slot import Slots
from gateway.statistics import Statistics
from gateway.tenancy import Tenancy
from gateway.ticker import Ticker

log = get_logger("gateway")

KAFKA_AWAY = (KafkaError, OSError, TimeoutError)
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class App:
    """The gateway, not yet connected to anything."""

    settings: GatewaySettings
    clock: Clock
    kafka: Kafka
    redis: Redis
    producer: RenewedProducer
    readiness: Readiness
    records: Records
    authentication: Authentication
    connections: Connections
    revocations: RevocationsReader
    tenancy: Tenancy
    ticker: Ticker
    publisher: Publisher
    partitions: dict[str, int]
    http: Starlette

    async def run(self, stop: asyncio.Event, *, process: int | None = None) -> None:
        """Serve until `stop` is set, then drain; `process` is the number of this one where several share the port.

        Raises `StartupError`, alone or in a group, when the settings cannot work.
        """
        raise_file_limit(self.settings.gateway_max_connections)
        listeners = self._listen(process)
        server = GatewayServer(self.http, self.connections)
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            stack.push_async_callback(self.redis.aclose)
            serving = group.create_task(server.serve(sockets=listeners))
            ticking = group.create_task(self.ticker.run())
            with suppress(Stopping):
                await self._serve(stop, group)
            ticking.cancel()
            server.should_exit = True
            await serving

    async def _serve(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.producer.stop)
            await self._connect(stop)
            revocations = await wait_for("kafka", self.revocations.open, errors=KAFKA_AWAY, stop=stop)
            stack.push_async_callback(revocations.stop)
            self.readiness.available("revocations")
            tasks = [
                group.create_task(self.records.run(self.producer)),
                group.create_task(self.revocations.run(revocations)),
                group.create_task(self.tenancy.restating.run()),
                group.create_task(watch(self.readiness, "kafka", self.producer.check)),
            ]
            try:
                await wait_for("redis", self._ping, errors=(RedisError,), stop=stop)
                tasks.append(group.create_task(watch(self.readiness, "redis", self._ping)))
                await self.tenancy.run(stop)
            finally:
                # Before the Kafka clients that they use are stopped.
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ping(self) -> None:
        await self.redis.ping()

    async def _connect(self, stop: asyncio.Event) -> None:
        specs = self.settings.topics().specs()
        await wait_for("kafka", lambda: self.kafka.ensure_topics(specs), errors=KAFKA_AWAY, stop=stop)
        producer = await wait_for("kafka", self.producer.start, errors=KAFKA_AWAY, stop=stop)
        for channel in Channel:
            self.partitions[channel.value] = len(await producer.partitions_for(self.settings.topics().updates(channel)))
        self.publisher.producer = self.producer
        self.readiness.available("kafka")

    def _listen(self, process: int | None) -> list[socket.socket]:
        """The port, and, where several share it, a port of this one's own: by it metrics and health of each can be asked for."""
        host, port, own = self.settings.gateway_host, self.settings.gateway_port, self.settings.gateway_process_port
        if process is None:
            return [listen(host, port, variable="GATEWAY_PORT", backlog=_BACKLOG)]
        return [
            listen(host, port, variable="GATEWAY_PORT", backlog=_BACKLOG, shared=True),
            listen(host, own + process, variable="GATEWAY_PROCESS_PORT", backlog=_BACKLOG),
        ]


def build(settings: GatewaySettings) -> App:
    """The service, not yet started. To be called with the event loop running."""
    clock, topics, gateway = SystemClock(), settings.topics(), new_gateway_id()
    kafka, redis = Kafka(settings, client=gateway), connect_redis(settings)
    readiness, records, partitions = Readiness("kafka", "redis", "revocations", "slot"), Records(), dict[str, int]()
    interest = InterestRecords(records, topics, gateway)
    hub = _hub(settings, interest, partitions, clock)
    authentication = Authentication(records, topics, clock, timeout=settings.gateway_auth_reply_timeout.total_seconds())
    outages = Outages(settle=settings.gateway_outage_settle.total_seconds())
    profile = _profile(settings, hub.positions, partitions)
    reports, admission = Reports(gateway, records, topics, clock), _admission(settings)
    connections = Connections(hub, authentication, reports, outages, profile=profile, admission=admission, clock=clock)

    def revoked(key_hash: KeyHash) -> None:
        authentication.revoke(key_hash)
        connections.revoke(key_hash)

    interval = settings.gateway_comparison_interval.total_seconds()
    restating = Restating(RecordedSlot(redis), connections, hub.activation, interest, records, interval=interval)
    tenancy = Tenancy(
        slots=Slots(redis, gateway, slots=settings.slots, lease=settings.slot_lease.total_seconds()),
        tenants=(authentication, interest, connections, restating),
        deliveries=DeliveriesReader(kafka, topics, hub, clock),
        replies=RepliesReader(kafka, topics, authentication),
        hub=hub,
        interest=interest,
        connections=connections,
        records=records,
        restating=restating,
        readiness=readiness,
        clock=clock,
        drain_limit=settings.gateway_drain_timeout.total_seconds(),
    )
    statistics, publisher = Statistics(gateway, hub, connections), Publisher()
    broadcast = Broadcast(authentication, publisher, topics, profile.hash_key)
    return App(
        settings=settings,
        clock=clock,
        kafka=kafka,
        redis=redis,
        producer=RenewedProducer(kafka),
        readiness=readiness,
        records=records,
        authentication=authentication,
        connections=connections,
        revocations=RevocationsReader(kafka, topics, revoked=revoked),
        tenancy=tenancy,
        ticker=Ticker(connections, authentication, statistics, outages=outages, readiness=readiness, clock=clock),
        publisher=publisher,
        partitions=partitions,
        http=build_http(readiness, broadcast, statistics, settings.path),
    )


def _hub(settings: GatewaySettings, interest: InterestRecords, partitions: Mapping[str, int], clock: Clock) -> Hub:
    positions, retry = Positions(), settings.gateway_activation_retry.total_seconds()
    activation = Activation(
        interest,
        partitions=partitions.__getitem__,
        recovering=positions.recover,
        position=positions.position,
        stream=positions.epoch,
        retry=retry,
        timeout=settings.gateway_activation_timeout.total_seconds(),
    )
    interest.written = activation.written
    recent = Recent(settings.gateway_recent_bytes)
    catching_up = CatchingUp(
        interest,
        activation,
        positions,
        recent,
        partitions=partitions.__getitem__,
        retry=retry,
        timeout=settings.gateway_replay_timeout.total_seconds(),
    )
    return Hub(activation, catching_up, positions, recent, clock=clock.monotonic)


def _profile(settings: GatewaySettings, positions: Positions, partitions: Mapping[str, int]) -> Profile:
    pepper = settings.api_key_pepper.get_secret_value()

    def hash_key(api_key: str) -> KeyHash:
        return hash_api_key(api_key, pepper)

    check_cursor = CursorCheck(positions, partitions.__getitem__)
    return Profile(
        settings.timing(), settings.limits(), hash_key, positions.cursor, positions.joining_cursor, check_cursor
    )


def _admission(settings: GatewaySettings) -> Admission:
    return Admission(
        path=settings.path,
        trusted=settings.networks(),
        connections=settings.gateway_max_connections,
        a_minute=settings.gateway_connections_per_minute,
        outbox_bytes=settings.gateway_outbox_bytes,
        replay_bytes=settings.gateway_replay_bytes,
    )
