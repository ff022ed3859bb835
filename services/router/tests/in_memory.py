"""An owner of partitions in memory, and a publisher that keeps what it is given; acknowledgements come when the test says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

from common.clock import ManualClock
from common.deliveries import Delivery, decode_delivery
from common.kafka import KafkaError
from router.activation import Ownership
from router.commits import Commits
from router.interest import InterestFold
from router.outgoing import Headers, Outgoing
from router.recent import Recent


def owner(fold: InterestFold, *, recent: int) -> tuple[Outgoing, Ownership]:
    """What a router that owns partitions delivers by, and what it owns. It keeps `recent` updates of each, and commits nothing."""
    outgoing = Outgoing(
        "deliveries",
        epoch_of=fold.epoch,
        acknowledged=lambda _tick: None,
        failed=lambda _error: None,
        clock=ManualClock(),
        pending_bytes=10**9,
    )
    kept = partial(Recent, limit=recent, limit_bytes=10**9)
    return outgoing, Ownership(fold, outgoing, Commits(), recent=kept)


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
