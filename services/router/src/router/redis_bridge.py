"""Redis bridge: takes `PUBLISH events:<channel>` of existing producers into the updates topics.

Pub/sub reaches every subscriber, so one router bridges: the one that holds a lease in Redis. Pub/sub keeps nothing: what is published
while nobody bridges is gone, which is its promise and not ours.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from common import metrics, redis_keys
from common.channels import SYSTEM, Channel
from common.errors import InvalidUpdate
from common.kafka import KafkaError
from common.logs import describe, get_logger
from common.redis import Redis, RedisError, load_script
from common.topics import Topics
from common.updates import decode_update
from router.dead_letters import send_dead_letter
from router.outgoing import Publisher
from router.routing import DeadLetter, decode_broadcast

log = get_logger("redis_bridge")

_PREFIX = redis_keys.bridge_channel("")
_SYSTEM_CHANNELS = frozenset({SYSTEM, "broadcast"})
_POLL_SECONDS = 0.2


class RedisBridge:
    """`lease`: seconds after which another router takes over from one that died."""

    def __init__(self, redis: Redis, publisher: Publisher, topics: Topics, *, name: str, lease: float) -> None:
        self._redis = redis
        self._publisher = publisher
        self._topics = topics
        self._name = name
        self._lease = lease
        self._renewed = load_script(redis, "router", "lease_renewed")
        self._released = load_script(redis, "router", "lease_released")

    async def run(self) -> None:
        """Bridge whenever the lease is ours, until cancelled."""
        away = False
        while True:
            try:
                if await self._renew():
                    away = False
                    await self._bridge()
            except RedisError as error:
                if not away:
                    log.warning("bridge_without_redis", **describe(error))
                away = True
            await asyncio.sleep(self._lease / 3)

    async def release(self) -> None:
        """Let another router bridge at once. Raises `RedisError`."""
        await self._released(keys=[redis_keys.BRIDGE_LEASE], args=[self._name])

    async def _renew(self) -> bool:
        args: list[str | int] = [self._name, round(self._lease * 1000)]
        return bool(await self._renewed(keys=[redis_keys.BRIDGE_LEASE], args=args))

    async def _bridge(self) -> None:
        """Return when the lease is another router's. Raises `RedisError`."""
        log.info("bridging", channels=redis_keys.BRIDGE_CHANNELS)
        loop = asyncio.get_running_loop()
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.psubscribe(redis_keys.BRIDGE_CHANNELS)
            renew_at = loop.time()
            while True:
                if loop.time() >= renew_at:
                    if not await self._renew():
                        return
                    renew_at = loop.time() + self._lease / 3
                message: Any = await pubsub.get_message(timeout=_POLL_SECONDS)
                if message is not None:
                    await self._take(message["channel"], message["data"])

    async def _take(self, channel: str, text: str) -> None:
        value = text.encode("utf-8", "surrogateescape")
        try:
            topic, key = self._address(channel.removeprefix(_PREFIX), value)
        except InvalidUpdate as error:
            metrics.router_bridged_total.labels("dead_letter").inc()
            letter = DeadLetter(error.message, f"redis:{channel}", 0, 0, None, value)
            await self._send(send_dead_letter(self._publisher, self._topics.dead_letter, letter, label=SYSTEM))
            return
        metrics.router_bridged_total.labels("produced").inc()
        await self._send(self._publisher.send(topic, value, key))

    def _address(self, name: str, value: bytes) -> tuple[str, bytes | None]:
        """Topic and key for a message. Raises `InvalidUpdate` with the reason."""
        if name in _SYSTEM_CHANNELS or _type_of(value) == "broadcast":
            decode_broadcast(value)
            return self._topics.system, None
        try:
            channel = Channel(name)
        except ValueError:
            raise InvalidUpdate(f"unknown channel {name[:64]!r}") from None
        entity = decode_update(value, channel=channel).entity
        # State topics are compacted: what names no entity is kept as one of its own.
        return self._topics.updates(channel), (entity or name).encode()

    async def _send(self, sending: Any) -> None:
        """Producing goes on in the background; a failure is told, as nobody could repeat what pub/sub has dropped."""
        try:
            future = await sending
        except KafkaError as error:
            _lost(error)
            return
        future.add_done_callback(
            lambda done: None if done.cancelled() or done.exception() is None else _lost(done.exception())
        )


def _type_of(value: bytes) -> object:
    try:
        given = json.loads(value)
    except ValueError:
        return None
    return given.get("type") if isinstance(given, dict) else None


def _lost(error: Any) -> None:
    metrics.router_bridged_total.labels("failed").inc()
    log.warning("bridged_message_lost", **describe(error))
