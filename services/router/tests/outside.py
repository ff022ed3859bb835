"""What is around a router, for its tests: producers of updates, and gateways that want rooms and read their slots."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from common import redis_keys
from common.channels import Channel
from common.deliveries import (
    Activated,
    Began,
    Item,
    Replayed,
    Routed,
    Segment,
    decode_delivery,
)
from common.events import Record, SlotTaken
from common.filters import parse_filter
from common.identifiers import FencingEpoch, GatewayId, RoomId, Slot
from common.kafka import partitions_of
from common.rooms import Room, room_of
from common.topics import Topics, interest_key, slot_key, stream_key
from router.settings import RouterSettings
from services.router.tests.strategies import interest
from services.router.tests.told import Told
from tests.support.fixtures import Isolation
from tests.support.waiting import eventually

FAR_AHEAD_MS = 2**52


def settings_for(isolation: Isolation) -> RouterSettings:
    """A router's, on the module's servers."""
    given = isolation.environment()
    return RouterSettings.model_validate({name.lower(): value for name, value in given.items() if value != ""})


@dataclass
class Answer:
    """To one request, by partition; `replayed` in the order of arrival."""

    began: dict[int, Began] = field(default_factory=dict)
    replayed: dict[int, list[Replayed]] = field(default_factory=dict)
    activated: dict[int, Activated] = field(default_factory=dict)

    @classmethod
    def of(cls, request: int, told: Iterable[tuple[Segment, Item]]) -> Answer:
        """Asserts the order: began, replayed, activated."""
        answer = cls()
        for segment, item in told:
            partition = segment.partition
            if isinstance(item, Began) and item.request == request:
                answer.began[partition] = item
            elif isinstance(item, Replayed) and any(number == request for _room, number in item.answers):
                assert partition in answer.began
                assert partition not in answer.activated
                answer.replayed.setdefault(partition, []).append(item)
            elif isinstance(item, Activated) and item.request == request:
                answer.activated.setdefault(partition, item)
        return answer

    @property
    def verdicts(self) -> set[int]:
        return {began.verdict for began in self.began.values()}

    @property
    def ids(self) -> list[str]:
        """Ids of the updates, in order of arrival within each partition."""
        return [f"{partition}:{item.offset}" for partition, items in self.replayed.items() for item in items]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(item.body) for items in self.replayed.values() for item in items]


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

    async def want(self, channel: str, filters: Mapping[str, Any] | None = None, **past: Any) -> tuple[Room, int]:
        """Ask for a room, and for what it missed (`since`, `stream`, `snapshot`). Returns it and the number of the request."""
        self.requests = request = self.requests + 1
        return await self.repeat(request, channel, filters, **past), request

    async def repeat(self, request: int, channel: str, filters: Mapping[str, Any] | None = None, **past: Any) -> Room:
        """Ask under a number that was used before."""
        room = room_of(Channel(channel), parse_filter(filters))
        record = interest(room, slot=self.slot, epoch=self.epoch, gateway=self.name, request=request, **past)
        await self.outside.send(self.outside.topics.rooms_interest, record.encode(), interest_key(self.slot, room.id))
        return room

    async def answered(self, request: int, *, partitions: int = 4, limit: float = 30.0) -> Answer:
        """What a request was answered, once every partition has."""

        def everywhere(g: FakeGateway) -> bool:
            found = {s.partition for s, item in g.items(Activated) if item.request == request}
            return len(found) == partitions

        await self.until(everywhere, f"request {request} is answered on {partitions} partitions", limit=limit)
        return Answer.of(request, self.told)

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

    async def publish_all(
        self, channel: str, updates: Iterable[Mapping[str, Any]]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        """Write many updates at once. Returns them with their ids."""
        topic, written = self.topics.updates(Channel(channel)), []
        for update in updates:
            name = str(update.get("tokenId") or update.get("protocolId"))
            written.append((update, await self.producer.send(topic, json.dumps(update).encode(), key=name.encode())))
        sent = [(update, await future) for update, future in written]
        return [(f"{metadata.partition}:{metadata.offset}", update) for update, metadata in sent]

    async def ends(self, channel: str) -> dict[int, int]:
        """The last offset of each partition now. Tansu counts the last batch as one record when asked, so it is read."""
        consumer = await self.consumer()
        partitions = [TopicPartition(self.topics.updates(Channel(channel)), number) for number in range(4)]
        last = {each: end - 1 for each, end in (await consumer.end_offsets(partitions)).items()}
        consumer.assign([each for each in partitions if last[each] >= 0])
        for each in consumer.assignment():
            consumer.seek(each, last[each])
            for records in (await consumer.getmany(each, timeout_ms=5000)).values():
                last[each] = records[-1].offset
        return {each.partition: offset for each, offset in last.items()}

    async def stream(self, channel: str) -> str:
        """The epoch of the channel's stream."""
        records = await self.everything_in(self.topics.rooms_interest)
        epochs: list[str] = [json.loads(each.value)["epoch"] for each in records if each.key == stream_key(channel)]
        return epochs[-1]

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
