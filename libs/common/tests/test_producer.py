"""A producer that a broker has put out of step is given up: what is repeated goes through a new one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from common.kafka import Kafka
from common.producer import RenewedProducer
from tests.support.waiting import eventually


class OutOfStep:
    """Makes producers, as `Kafka` does; all but the last refuse whatever they are given."""

    def __init__(self, *, bad: int) -> None:
        self.bad = bad
        self.made = 0
        self.stopped = 0
        self.taken: list[bytes | None] = []

    async def start_producer(self) -> Any:
        self.made += 1
        return _Producer(self, refuses=self.made <= self.bad)

    async def failed_ones_are_stopped(self) -> bool:
        return self.stopped == self.bad


class _Producer:
    def __init__(self, maker: OutOfStep, *, refuses: bool) -> None:
        self._maker = maker
        self._refuses = refuses

    async def send(self, _topic: str, value: bytes | None, *_: object, **__: object) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self._refuses:
            loop.call_soon(future.set_exception, OutOfOrderSequenceNumber())
        else:
            self._maker.taken.append(value)
            future.set_result(None)
        return future

    async def stop(self) -> None:
        self._maker.stopped += 1


async def test_what_is_sent_after_a_refusal_goes_through_a_new_producer():
    kafka = OutOfStep(bad=2)
    producer = RenewedProducer(cast(Kafka, kafka))
    for _ in range(2):
        with pytest.raises(OutOfOrderSequenceNumber):
            await (await producer.send("topic", b"value"))
    await (await producer.send("topic", b"value"))
    await eventually(kafka.failed_ones_are_stopped, "the failed ones are stopped")
    await producer.stop()
    assert (kafka.taken, kafka.made, kafka.stopped) == ([b"value"], 3, 3)
