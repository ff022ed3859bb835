"""Where a takeover goes on: at the commit, and only where there surely is none at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from common.kafka import KafkaError, TopicPartition
from router.takeover import Starts, starting_offsets

PRICES, TVL = TopicPartition("updates.prices", 0), TopicPartition("updates.tvl", 0)
BEGIN, END = 10, 90


class Group:
    """A consumer and its coordinator; a `silent` one seems to know of no commit unless it is asked closely, a `loading` one fails then."""

    def __init__(self, commits: Mapping[TopicPartition, int], *, silent: bool = False, loading: bool = False) -> None:
        self.commits = dict(commits)
        self.silent = silent
        self.loading = loading

    async def committed(self, partition: TopicPartition) -> int | None:
        return None if self.silent else self.commits.get(partition)

    async def committed_of(self, partitions) -> Mapping[TopicPartition, int | None]:
        if self.loading:
            raise KafkaError("loading")
        return {each: self.commits.get(each) for each in partitions}

    async def beginning_offsets(self, partitions) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, BEGIN)

    async def end_offsets(self, partitions) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, END)

    async def commit(self, offsets) -> None:
        self.commits |= offsets


async def found(group: Group, *, known_group: bool = False, anew: Collection[str] = ()) -> Starts:
    async def end_of(_partition: TopicPartition, least: int) -> int:
        return least

    return await starting_offsets(
        group, [PRICES, TVL], committed_of=group.committed_of, end_of=end_of, known_group=known_group, anew=anew
    )


async def starts(group: Group, **options: Any) -> Mapping[TopicPartition, int]:
    return (await found(group, **options)).offsets


async def test_it_goes_on_at_the_commits():
    assert await starts(Group({PRICES: 20, TVL: 30})) == {PRICES: 20, TVL: 30}


async def test_a_new_partition_begins_at_its_end_which_is_committed():
    group = Group({PRICES: 20})
    assert await starts(group) == {PRICES: 20, TVL: END}
    assert group.commits == {PRICES: 20, TVL: END}


async def test_a_coordinator_that_seems_to_know_of_no_commit_is_asked_closely():
    assert await starts(Group({PRICES: 20, TVL: 30}, silent=True)) == {PRICES: 20, TVL: 30}


async def test_a_coordinator_that_is_still_loading_is_waited_for_and_nothing_is_committed():
    group = Group({PRICES: 20, TVL: 30}, silent=True, loading=True)
    with pytest.raises(KafkaError):
        await starts(group)
    assert group.commits == {PRICES: 20, TVL: 30}


async def test_a_commit_that_has_expired_means_the_oldest_that_there_is():
    assert await starts(Group({PRICES: BEGIN - 5, TVL: END + 5})) == {PRICES: BEGIN, TVL: BEGIN}


async def test_a_commit_that_has_expired_is_a_loss_and_one_beyond_the_end_another_log():
    at_start = await found(Group({PRICES: BEGIN - 5, TVL: END + 5}))
    assert (at_start.lost, at_start.rewound) == ({PRICES}, {TVL})
    assert await found(Group({PRICES: BEGIN, TVL: END})) == Starts({PRICES: BEGIN, TVL: END}, frozenset(), frozenset())


async def test_a_partition_that_is_new_in_a_group_that_was_there_begins_at_its_start():
    assert await starts(Group({PRICES: 20}), known_group=True) == {PRICES: 20, TVL: BEGIN}


async def test_a_topic_made_anew_begins_at_its_start_whatever_is_committed():
    at_start = await found(Group({PRICES: 20, TVL: END + 5}), anew={TVL.topic})
    assert at_start == Starts({PRICES: 20, TVL: BEGIN}, frozenset(), frozenset())
