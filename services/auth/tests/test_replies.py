"""Replies that cannot be written are known, as long as they cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from auth.replies import KafkaReplies
from common.clock import ManualClock
from common.identifiers import Slot
from common.kafka import KafkaError

REPLIES = [(Slot(3), b"yes")]


class Broker:
    """Takes what it is sent, or refuses it at once or when it is to be acknowledged."""

    def __init__(self) -> None:
        self.refuses: str | None = None
        self.taken: list[tuple[int | None, bytes | None]] = []

    async def send(self, _topic: str, value: bytes | None, *, partition: int | None = None) -> asyncio.Future[Any]:
        if self.refuses == "at once":
            raise KafkaError("away")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.refuses is not None:
            future.set_exception(KafkaError("not enough replicas"))
        else:
            self.taken.append((partition, value))
            future.set_result(None)
        return future


@pytest.mark.parametrize("refuses", ["at once", "later"])
async def test_replies_that_fail_are_told_until_some_are_acknowledged(refuses):
    broker, clock = Broker(), ManualClock()
    replies = KafkaReplies(broker, "auth.replies", clock)
    await replies.check()
    broker.refuses = refuses
    with pytest.raises(KafkaError):
        await replies.send(REPLIES)
    await replies.send([])
    with pytest.raises(KafkaError):
        await replies.check()
    broker.refuses = None
    await replies.send(REPLIES)
    await replies.check()
    assert broker.taken == [(3, b"yes")]


async def test_a_failure_after_which_nobody_asked_is_forgotten_in_time():
    broker, clock = Broker(), ManualClock()
    replies = KafkaReplies(broker, "auth.replies", clock)
    broker.refuses = "at once"
    with pytest.raises(KafkaError):
        await replies.send(REPLIES)
    clock.advance(61)
    await replies.check()
