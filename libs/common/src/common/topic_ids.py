"""Ids of topics: what Kafka gives each topic that is made, so that one made anew under the same name is told from the one before.

Metadata version 12, which aiokafka (0.14, up to version 5) has no request for: https://kafka.apache.org/protocol#The_Messages_Metadata
"""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NONE = bytes(16)
_TAGS = ("tags", TaggedFields)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka has no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_BROKER = (("node", Int32), ("host", CompactString("utf-8")), ("port", Int32), ("rack", CompactString("utf-8")), _TAGS)
_PARTITION = (
    ("error", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("in_sync", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    _TAGS,
)
_TOPIC = (
    ("error", Int16),
    ("name", CompactString("utf-8")),
    ("id", _Uuid),
    ("internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("operations", Int32),
    _TAGS,
)


class _Metadata(Response):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttled", Int32),
        ("brokers", CompactArray(*_BROKER)),
        ("cluster", CompactString("utf-8")),
        ("controller", Int32),
        ("topics", CompactArray(*_TOPIC)),
        _TAGS,
    )


class _AskMetadata(RequestStruct):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Metadata
    SCHEMA = Schema(
        ("topics", CompactArray(("id", _Uuid), ("name", CompactString("utf-8")), _TAGS)),
        ("create", Boolean),
        ("operations", Boolean),
        _TAGS,
    )


class _Ask(Request[_AskMetadata]):  # type: ignore[misc]  # aiokafka has no types
    API_KEY = 3

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_AskMetadata]) -> _AskMetadata:
        return request_struct_class([(_NONE, name, {}) for name in self._names], False, False, {})


async def topic_ids(consumer: AIOKafkaConsumer, names: Collection[str]) -> dict[str, bytes]:
    """The id of each topic that is there; none where the broker gives none. `consumer` is started. Raises `KafkaError`."""
    client = consumer._client  # noqa: SLF001 - aiokafka has no public way to ask
    try:
        found = await client.send(client.get_random_node(), _Ask(names))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return {}
    return {name: topic_id for error, name, topic_id, *_rest in found.topics if not error and topic_id != _NONE}
