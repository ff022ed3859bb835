"""What is around a router, for its tests: producers of updates, and gateways that want rooms and read their slots."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from common import redis_keys
from common.channels import Channel
from common.deliveries import Activated, Item, OperatorMessage, Progress, Routed, Segment, TookOver, decode_delivery
from common.events import Interest, Record, SlotTaken
from common.filters import parse_filter
from common.identifiers import FencingEpoch, GatewayId, RoomId, Slot
from common.kafka import partitions_of
from common.rooms import Room, room_of
from common.topics import Topics, interest_key, slot_key
from tests.support.fixtures import Isolation
from tests.support.waiting import eventually

Told = TypeVar("Told", Routed, Activated, TookOver, Progress, OperatorMessage)

FAR_AHEAD_MS = 2**52


class FakeGateway:
    """Holds a slot: tells what it wants, and keeps all that routers tell it."""

    def __init__(self, outside: Outside, slot: int, epoch: int) -> None:
        self.outside, self.slot, self.epoch = outside, Slot(slot), FencingEpoch(epoch)
        self.name = GatewayId(f"gw-{slot}-{epoch}")
        self.requests = 0
        self.told: list[tuple[Segment, Item]] = []

    async def take_slot(self) -> None:
        lease = {"gateway": self.name, "epoch": self.epoch, "expiresAt": FAR_AHEAD_MS}
        await self.outside.redis.hset(redis_keys.slot(self.slot), mapping=lease)
        record = SlotTaken(slot=self.slot, epoch=self.epoch, gateway=self.name)
        await self.outside.send(self.outside.topics.rooms_interest, record.encode(), slot_key(self.slot))

    async def want(self, channel: str, filters: Mapping[str, Any] | None = None) -> tuple[Room, int]:
        """Ask for a room. Returns it and the number of the request."""
        room = room_of(Channel(channel), parse_filter(filters))
        self.requests += 1
        record = Interest(
            slot=self.slot,
            epoch=self.epoch,
            gateway=self.name,
            room=room.id,
            channel=room.channel,
            filter=room.filter.to_json(),
            request=self.requests,
        )
        await self.outside.send(self.outside.topics.rooms_interest, record.encode(), interest_key(self.slot, room.id))
        return room, self.requests

    async def activated(self, channel: str, filters: Mapping[str, Any] | None = None, *, partitions: int = 4) -> Room:
        """The room, on every partition."""
        room, request = await self.want(channel, filters)

        async def everywhere() -> bool:
            found = {
                s.partition for s, item in self.items(Activated) if item.room == room.id and item.request == request
            }
            return len(found) == partitions

        await eventually(everywhere, f"{room.id} is activated on {partitions} partitions", limit=30)
        return room

    async def leave(self, room: RoomId) -> None:
        await self.outside.send(self.outside.topics.rooms_interest, None, interest_key(self.slot, room))

    def items(self, kind: type[Told]) -> list[tuple[Segment, Told]]:
        return [(segment, item) for segment, item in self.told if isinstance(item, kind)]

    def bodies(self, room: RoomId | None = None) -> list[dict[str, Any]]:
        """The frames of the updates routed here, repeats and all."""
        return [json.loads(item.body) for _, item in self.items(Routed) if room is None or room in item.rooms]

    async def until(self, condition: Callable[[FakeGateway], bool], what: str, *, limit: float = 15.0) -> None:
        async def holds() -> bool:
            return condition(self)

        await eventually(holds, what, limit=limit)


class Outside:
    def __init__(self, isolation: Isolation, *, slots: int) -> None:
        self.topics = Topics(isolation.topic_prefix, slots)
        self._servers = isolation.servers
        self._kafka = isolation.servers.kafka
        self._wait = 20 if isolation.servers.kind == "embedded" else 500
        self.producer = AIOKafkaProducer(bootstrap_servers=self._kafka, max_request_size=4 * 1024 * 1024)
        self.redis: Any = redis.Redis(
            host=isolation.servers.redis.host,
            port=isolation.servers.redis.port,
            db=isolation.redis_db,
            password=isolation.servers.redis_password,
            decode_responses=True,
        )
        self._readers: list[asyncio.Task[None]] = []
        self._consumers: list[AIOKafkaConsumer] = []

    async def __aenter__(self) -> Self:
        await self.producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for consumer in self._consumers:
            await consumer.stop()
        await self.producer.stop()
        await self.redis.aclose()

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, *, partition: int | None = None
    ) -> Any:
        return await self.producer.send_and_wait(topic, value, key=key, partition=partition)

    async def emit(self, topic: str, record: Record, key: str) -> None:
        await self.send(topic, record.encode(), key.encode())

    async def publish(self, channel: str, update: Mapping[str, Any], *, key: str | None = None) -> str:
        """Write an update. Returns the id that clients know it by."""
        name = key or str(update.get("tokenId") or update.get("protocolId") or "entity")
        sent = await self.send(self.topics.updates(Channel(channel)), json.dumps(update).encode(), name.encode())
        return f"{sent.partition}:{sent.offset}"

    async def gateway(self, slot: int, *, epoch: int | None = None) -> FakeGateway:
        """A gateway that has taken the slot and reads what it is told from now on."""
        gateway = FakeGateway(self, slot, epoch or time.time_ns() // 1_000_000)
        await self.follow(gateway)
        await gateway.take_slot()
        return gateway

    async def follow(self, gateway: FakeGateway) -> None:
        consumer = await self.consumer()
        partition = TopicPartition(self.topics.deliveries, gateway.slot)
        consumer.assign([partition])
        await consumer.seek_to_end(partition)
        await consumer.position(partition)

        async def read() -> None:
            async for record in consumer:
                delivery = decode_delivery(record.value)
                if delivery.slot_epoch >= gateway.epoch:
                    gateway.told += [(segment, item) for segment in delivery.segments for item in segment.items]

        self._readers.append(asyncio.create_task(read()))

    async def consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka, fetch_max_wait_ms=self._wait)
        await consumer.start()
        self._consumers.append(consumer)
        return consumer

    async def everything_in(self, topic: str) -> list[Any]:
        """All records that the topic has now."""
        consumer = await self.consumer()
        partitions = [TopicPartition(topic, number) for number in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        while any([await consumer.position(each) < ends[each] for each in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
        return records
