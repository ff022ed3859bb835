"""Where a takeover goes on: at the commit, and only where there surely is none at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from common.kafka import Commit, TopicPartition
from router.takeover import Starts, made_anew, starting_offsets

PRICES, TVL = TopicPartition("updates.prices", 0), TopicPartition("updates.tvl", 0)
BEGIN, END = 10, 90


class Log:
    """A consumer of partitions that all hold the same offsets."""

    async def beginning_offsets(self, partitions) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, BEGIN)

    async def end_offsets(self, partitions) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, END)


async def found(commits: Mapping[TopicPartition, int], **options: Any) -> Starts:
    async def end_of(_partition: TopicPartition, least: int) -> int:
        return least

    committed = {each: commits.get(each) for each in (PRICES, TVL)}
    return await starting_offsets(Log(), committed, end_of=end_of, **options)


async def starts(commits: Mapping[TopicPartition, int], **options: Any) -> Mapping[TopicPartition, int]:
    return (await found(commits, **options)).offsets


async def test_it_goes_on_at_the_commits():
    assert await starts({PRICES: 20, TVL: 30}) == {PRICES: 20, TVL: 30}


async def test_a_new_partition_begins_at_its_end():
    assert await starts({PRICES: 20}) == {PRICES: 20, TVL: END}


async def test_a_commit_that_has_expired_means_the_oldest_that_there_is():
    assert await starts({PRICES: BEGIN - 5, TVL: END + 5}) == {PRICES: BEGIN, TVL: BEGIN}


async def test_a_commit_that_has_expired_is_a_loss_and_one_beyond_the_end_another_log():
    at_start = await found({PRICES: BEGIN - 5, TVL: END + 5})
    assert (at_start.lost, at_start.rewound) == ({PRICES}, {TVL})
    assert await found({PRICES: BEGIN, TVL: END}) == Starts({PRICES: BEGIN, TVL: END}, frozenset(), frozenset())


async def test_a_partition_that_is_new_in_a_group_that_was_there_begins_at_its_start():
    assert await starts({PRICES: 20}, known_group=True) == {PRICES: 20, TVL: BEGIN}


async def test_a_topic_made_anew_begins_at_its_start_whatever_is_committed():
    at_start = await found({PRICES: 20, TVL: END + 5}, anew={TVL})
    assert at_start == Starts({PRICES: 20, TVL: BEGIN}, frozenset(), frozenset())


OLD, NEW = b"\x01", b"\x02"


@pytest.mark.parametrize(
    ("commit", "ids", "known", "anew"),
    [
        pytest.param(Commit(20, OLD.hex()), {PRICES.topic: NEW}, {PRICES.topic: NEW}, True, id="commit of the old one"),
        pytest.param(
            Commit(20, NEW.hex()), {PRICES.topic: NEW}, {PRICES.topic: OLD}, False, id="commit of the new one"
        ),
        pytest.param(Commit(20, ""), {PRICES.topic: NEW}, {PRICES.topic: OLD}, True, id="commit of no id, known by us"),
        pytest.param(Commit(20, ""), {PRICES.topic: NEW}, {}, False, id="commit of no id, unknown to us"),
        pytest.param(None, {PRICES.topic: NEW}, {PRICES.topic: OLD}, True, id="no commit, known by us"),
        pytest.param(Commit(20, OLD.hex()), {}, {PRICES.topic: OLD}, False, id="no id now"),
    ],
)
def test_a_topic_is_made_anew_when_commits_are_of_another_id(commit, ids, known, anew):
    assert made_anew({PRICES: commit}, ids, known) == ({PRICES} if anew else set())
