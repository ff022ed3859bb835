"""Takeover: where to go on with source partitions that the group has given us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from common.kafka import AIOKafkaConsumer, Commit, TopicPartition
from common.logs import get_logger

log = get_logger("takeover")

EndOf = Callable[[TopicPartition, int], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Starts:
    """Where to go on. `lost`: what was committed is gone, so that something was deleted before anybody had routed it.

    `rewound`: the commit is beyond the end, so that these are not the records that were committed.
    """

    offsets: Mapping[TopicPartition, int]
    lost: Collection[TopicPartition] = ()
    rewound: Collection[TopicPartition] = ()


def made_anew(
    commits: Mapping[TopicPartition, Commit | None], ids: Mapping[str, bytes], known: Mapping[str, bytes]
) -> Collection[TopicPartition]:
    """Partitions whose topics are others than those that the commits are of. A commit's metadata is the topic's id.

    A router goes on committing for up to a few seconds by the name of a topic that was made anew meanwhile: that is where the old one
    had come to, and says nothing of the new one. Where a commit has no id, another id than that `known` to us says it.
    """
    return {tp for tp, commit in commits.items() if _is_another(tp.topic, commit, ids, known)}


def _is_another(topic: str, commit: Commit | None, ids: Mapping[str, bytes], known: Mapping[str, bytes]) -> bool:
    if topic not in ids:
        return False
    if commit is not None and commit.metadata:
        return commit.metadata != ids[topic].hex()
    return known.get(topic, ids[topic]) != ids[topic]


async def starting_offsets(
    consumer: AIOKafkaConsumer,
    committed: Mapping[TopicPartition, int | None],
    *,
    end_of: EndOf,
    anew: Collection[TopicPartition] = (),
    known_group: bool = False,
) -> Starts:
    """The committed offset of each, where there is one. Raises `KafkaError`.

    `end_of(partition, least)` looks closely where a partition ends: what a broker says when asked may be too low (`router.history`).

    Without a committed offset the group is new: no room can have been activated on the partition, so nobody misses what is in it already,
    and a day of history must not go to live sockets. So it starts at the end, and an empty partition at 0.

    But where the group is known to have been there, as this router was in it (`known_group`), the partition is new, and all that is in it
    is news; so it is in topics that were made `anew`, whatever is committed.
    """
    if not committed:
        return Starts({})
    partitions = list(committed)
    begins, ends = await asyncio.gather(consumer.beginning_offsets(partitions), consumer.end_offsets(partitions))
    for tp, offset in committed.items():
        if offset is not None and offset > ends[tp] and tp not in anew:
            ends[tp] = await end_of(tp, ends[tp])
    starts = {
        tp: begins[tp] if tp in anew or (known_group and offset is None) else _start(tp, offset, begins[tp], ends[tp])
        for tp, offset in committed.items()
    }
    had = {tp: offset for tp, offset in committed.items() if offset is not None and tp not in anew}
    return Starts(
        starts,
        lost=frozenset(tp for tp, offset in had.items() if offset < begins[tp]),
        rewound=frozenset(tp for tp, offset in had.items() if offset > ends[tp]),
    )


def _start(partition: TopicPartition, committed: int | None, begin: int, end: int) -> int:
    if committed is None:
        return end
    if begin <= committed <= end:
        return committed
    # Records expired before they were routed, or the topic was made anew: the oldest that there is.
    log.warning(
        "committed_offset_not_in_topic",
        topic=partition.topic,
        partition=partition.partition,
        committed=committed,
        begin=begin,
        end=end,
    )
    return begin
