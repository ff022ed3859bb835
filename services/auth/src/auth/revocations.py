"""Revoked keys: `auth.revocations` read whole, by every auth process, from its beginning and without a group."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from pydantic import ValidationError

from common.backoff import Backoff
from common.events import Revocation
from common.identifiers import KeyHash
from common.kafka import AIOKafkaConsumer, Kafka, KafkaError, TopicPartition, at_end, partitions_of
from common.logs import describe, get_logger
from common.metrics import auth_revocations_total

log = get_logger("auth.revocations")

POLL_MS = 100

OnRevoked = Callable[[Collection[KeyHash]], Awaitable[None]]


class Revoked:
    """The hashes of revoked keys: for ever, as the topic is compacted. 170 bytes a key."""

    def __init__(self, hashes: Iterable[KeyHash] = ()) -> None:
        self._hashes = set(hashes)

    def __contains__(self, key_hash: KeyHash) -> bool:
        return key_hash in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, hashes: Iterable[KeyHash]) -> None:
        self._hashes.update(hashes)


class RevocationsReader:
    """Keeps `revoked` in step with the topic, and tells `on_revoked` of what came after the first reading."""

    def __init__(self, kafka: Kafka, topic: str, revoked: Revoked, on_revoked: OnRevoked) -> None:
        self._kafka = kafka
        self._topic = topic
        self._revoked = revoked
        self._on_revoked = on_revoked
        self._complete = asyncio.Event()

    async def complete(self) -> None:
        """Returns once all that was in the topic when the reader began is in `revoked`."""
        await self._complete.wait()

    async def run(self) -> None:
        """Read until cancelled. A broker that is away is tried again; what was read stays."""
        backoff = Backoff()
        while True:
            consumer = self._kafka.consumer(auto_offset_reset="earliest")
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, OSError) as error:
                log.warning("revocations_interrupted", **describe(error))
                await asyncio.sleep(backoff.next())
            finally:
                await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await self._assign(consumer)
        while not self._complete.is_set():
            self._revoked.add(await self._poll(consumer))
            if await at_end(consumer, partitions):
                self._complete.set()
                log.info("revocations_read", keys=len(self._revoked))
        while True:
            hashes = await self._poll(consumer)
            if hashes:
                self._revoked.add(hashes)
                await self._on_revoked(hashes)

    async def _assign(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        partitions = [TopicPartition(self._topic, number) for number in await partitions_of(consumer, self._topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        return partitions

    async def _poll(self, consumer: AIOKafkaConsumer) -> list[KeyHash]:
        records = await consumer.getmany(timeout_ms=POLL_MS)
        read = [_parse(record.value) for partition in records.values() for record in partition]
        hashes = [key_hash for key_hash in read if key_hash is not None]
        auth_revocations_total.inc(len(hashes))
        return hashes


def _parse(value: bytes | None) -> KeyHash | None:
    """A revocation is never taken back, so a null value says nothing."""
    if value is None:
        return None
    try:
        return Revocation.model_validate_json(value).key_hash
    except ValidationError as error:
        log.warning("revocation_unreadable", **describe(error))
        return None
