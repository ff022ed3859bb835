"""`POST /v2/broadcast`: one update, a list of them, or an operator's message, written to Kafka before the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from common.channels import STATE_CHANNELS
from common.errors import FieldError, InvalidUpdate, Unavailable
from common.kafka import KafkaError
from common.rooms import parse_channel
from common.topics import Topics
from common.updates import MAX_UPDATE_BYTES, decode_update
from gateway.records import Sender

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_UPDATES = 1000
_ACKNOWLEDGED_WITHIN_SECONDS = 10.0
_BROADCAST = "broadcast"


class _Kind(msgspec.Struct):
    type: Any = None
    channel: Any = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Outgoing:
    topic: str
    key: bytes | None
    value: bytes


_list = msgspec.json.Decoder(list[msgspec.Raw])
_kind = msgspec.json.Decoder(_Kind)


def read_broadcast(body: bytes, topics: Topics) -> list[Outgoing]:
    """The records that a request body asks for: all are valid, or `FieldError` names the first that is not (`[3].value`)."""
    if not body.lstrip().startswith(b"["):
        return [_outgoing(body, topics)]
    try:
        items = _list.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidUpdate(f"not JSON: {error}") from None
    if not 1 <= len(items) <= MAX_UPDATES:
        raise InvalidUpdate(f"a list must have 1 to {MAX_UPDATES} updates, not {len(items)}")
    return [_at(number, bytes(item), topics) for number, item in enumerate(items)]


class Publisher:
    """Writes to Kafka; `producer` is there once the broker is."""

    def __init__(self) -> None:
        self.producer: Sender | None = None

    async def publish(self, records: list[Outgoing]) -> list[dict[str, Any]]:
        """Topic, partition and offset of each, once Kafka has them all. Raises `Unavailable`; then some may have been written."""
        if self.producer is None:
            raise Unavailable("Kafka is not reachable yet; try again")
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_SECONDS):
                futures = [await self.producer.send(record.topic, record.value, record.key) for record in records]
                written = await asyncio.gather(*futures)
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("Kafka has not acknowledged; try again") from error
        return [{"topic": each.topic, "partition": each.partition, "offset": each.offset} for each in written]


def _at(number: int, item: bytes, topics: Topics) -> Outgoing:
    try:
        return _outgoing(item, topics)
    except FieldError as error:
        error.field = f"[{number}]" if error.field is None else f"[{number}].{error.field}"
        raise


def _outgoing(body: bytes, topics: Topics) -> Outgoing:
    if _is_operator_message(body):
        return _operator_message(body, topics)
    update = decode_update(body)
    # State topics are compacted and take no record without a key: what names no entity is kept as one of its own.
    key = update.entity or (update.channel.value if update.channel in STATE_CHANNELS else None)
    return Outgoing(topics.updates(update.channel), key.encode() if key else None, body)


def _is_operator_message(body: bytes) -> bool:
    try:
        return bool(_kind.decode(body).type == _BROADCAST)
    except (msgspec.DecodeError, RecursionError):
        return False  # What is wrong with it is better told by the decoder of updates.


def _operator_message(body: bytes, topics: Topics) -> Outgoing:
    if len(body) > MAX_UPDATE_BYTES:
        raise InvalidUpdate(f"{len(body)} bytes; at most {MAX_UPDATE_BYTES} are allowed")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidUpdate(f"not UTF-8 at byte {error.start}") from None
    message = _kind.decode(body)
    if message.data is msgspec.UNSET:
        raise InvalidUpdate("data is missing", field="data")
    if message.channel is not None:
        parse_channel(message.channel)
    return Outgoing(topics.system, None, body)
