"""A data producer for tests: writes updates, or anything else, to the topics as an outsider would."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from tests.support.matcher import CHANNELS


@dataclass(frozen=True, slots=True)
class Published:
    """Where an acknowledged record lies. `id` is what clients get as the update's."""

    channel: str
    partition: int
    offset: int

    @property
    def id(self) -> str:
        return f"{self.partition}:{self.offset}"


class Producer:
    """Writes with acks=all; returns when the broker has it."""

    def __init__(self, bootstrap: str, topic_prefix: str) -> None:
        self._kafka = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_request_size=2 * 1024 * 1024)
        self._prefix = topic_prefix

    async def __aenter__(self) -> Self:
        await self._kafka.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._kafka.stop()

    async def publish(
        self, update: Mapping[str, Any], *, key: str | None = None, partition: int | None = None
    ) -> Published:
        """Write an update to the topic of its type."""
        body = json.dumps(update).encode()
        return await self.write(CHANNELS[update["type"]], body, key=key or _entity(update), partition=partition)

    async def write(
        self, channel: str, value: bytes | None, *, key: str | None = None, partition: int | None = None
    ) -> Published:
        """Write any bytes to a channel's topic."""
        encoded = None if key is None else key.encode()
        record = await self._kafka.send_and_wait(
            f"{self._prefix}updates.{channel}", value, key=encoded, partition=partition
        )
        return Published(channel, record.partition, record.offset)

    async def partitions(self, channel: str) -> list[int]:
        return sorted(await self._kafka.partitions_for(f"{self._prefix}updates.{channel}"))


def _entity(update: Mapping[str, Any]) -> str:
    return str(update.get("tokenId") or update.get("protocolId") or update.get("userId") or secrets.token_hex(4))
