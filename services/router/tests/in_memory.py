"""A publisher that keeps what it is given; acknowledgements come when the test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from common.deliveries import Delivery, decode_delivery
from common.kafka import KafkaError
from router.outgoing import Headers


@dataclass
class Sent:
    topic: str
    value: bytes | None
    key: bytes | None
    partition: int | None
    headers: Headers
    future: asyncio.Future[object]

    @property
    def delivery(self) -> Delivery:
        assert self.value is not None
        return decode_delivery(self.value)

    def acknowledge(self) -> None:
        self.future.set_result(None)

    def fail(self) -> None:
        self.future.set_exception(KafkaError("broken"))


@dataclass
class InMemoryPublisher:
    sent: list[Sent] = field(default_factory=list)
    refuses: bool = False

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Headers | None = None,
    ) -> asyncio.Future[object]:
        if self.refuses:
            raise KafkaError("refused")
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.sent.append(Sent(topic, value, key, partition, headers or (), future))
        return future
