"""Questions about partitions, where the connection that they go by swallows everything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from common.topics import Topics
from router import history
from router.history import History
from router.replay import Bounds
from router.sources import Sources

PRICES = ("prices", 1)


class Consumer:
    """As much of aiokafka's as is asked; one that is `silent` never answers."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped.set()

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._answer(partitions, 3)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._answer(partitions, 8)

    async def _answer(self, partitions: Sequence[TopicPartition], offset: int) -> dict[TopicPartition, int]:
        if self.silent:
            await asyncio.Event().wait()
        return dict.fromkeys(partitions, offset)


class Consumers:
    """Makes a silent one first, then others."""

    def __init__(self) -> None:
        self.made: list[Consumer] = []

    def consumer(self, **_options: Any) -> Consumer:
        self.made.append(Consumer(silent=not self.made))
        return self.made[-1]


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> Consumers:
    monkeypatch.setattr(history, "_ASK_SECONDS", 0.05)
    return Consumers()


@pytest.fixture
def asking(consumers: Consumers) -> History:
    return History(consumers, Sources(Topics()))  # type: ignore[arg-type]  # it needs no more of Kafka


async def test_after_a_question_without_answer_the_next_goes_another_way(consumers: Consumers, asking: History):
    given_up = await asyncio.gather(*(asking.bounds(PRICES) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in given_up] == [KafkaTimeoutError] * 3
    assert await asking.bounds(PRICES) == await asking.bounds(PRICES) == Bounds(3, 8)
    assert len(consumers.made) == 2
    async with asyncio.timeout(5):
        await consumers.made[0].stopped.wait()
    assert not consumers.made[1].stopped.is_set()


async def test_what_was_given_up_ends_with_the_rest(
    consumers: Consumers, asking: History, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(KafkaTimeoutError):
        await asking.bounds(PRICES)
    assert await asking.bounds(PRICES) == Bounds(3, 8)
    monkeypatch.setattr(history, "_ASK_SECONDS", 60.0)
    await asking.stop()
    assert all(each.stopped.is_set() for each in consumers.made)
    assert len(asyncio.all_tasks()) == 1
