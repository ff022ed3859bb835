"""Takeover: where to go on with source partitions that the group has given us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from common.kafka import AIOKafkaConsumer, TopicPartition
from common.logs import get_logger

log = get_logger("takeover")

CommittedOf = Callable[[Collection[TopicPartition]], Awaitable[Mapping[TopicPartition, int | None]]]
EndOf = Callable[[TopicPartition, int], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Starts:
    """Where to go on. `lost`: what was committed is gone, so that something was deleted before anybody had routed it.

    `rewound`: the commit is beyond the end, so that these are not the records that were committed.
    """

    offsets: Mapping[TopicPartition, int]
    lost: Collection[TopicPartition] = ()
    rewound: Collection[TopicPartition] = ()


async def starting_offsets(
    consumer: AIOKafkaConsumer,
    partitions: Collection[TopicPartition],
    *,
    committed_of: CommittedOf,
    end_of: EndOf,
    known_group: bool = False,
    anew: Collection[str] = (),
) -> Starts:
    """The committed offset of each, where there is one; a first start is committed at once. Raises `KafkaError`.

    `committed_of` is asked about those of which the consumer knows of no commit: that would be a loss if it was wrong (`common.kafka`).
    `end_of(partition, least)` looks closely where a partition ends: what a broker says when asked may be too low (`router.history`).

    Without a committed offset the group is new: no room can have been activated on the partition, so nobody misses what is in it already,
    and a day of history must not go to live sockets. So it starts at the end, and an empty partition at 0.

    But where the group is known to have been there, as this router was in it (`known_group`), the partition is new, and all that is in it
    is news; so it is in topics that were made `anew`, whatever is committed.
    """
    tps = list(partitions)
    if not tps:
        return Starts({})
    committed = dict(zip(tps, await asyncio.gather(*map(consumer.committed, tps)), strict=True))
    if none := [tp for tp, offset in committed.items() if offset is None]:
        committed |= await committed_of(none)
    begins, ends = await asyncio.gather(consumer.beginning_offsets(tps), consumer.end_offsets(tps))
    for tp, offset in committed.items():
        if offset is not None and offset > ends[tp]:
            ends[tp] = await end_of(tp, ends[tp])
    starts = {
        tp: begins[tp]
        if tp.topic in anew or (known_group and offset is None)
        else _start(tp, offset, begins[tp], ends[tp])
        for tp, offset in committed.items()
    }
    first = {tp: starts[tp] for tp, offset in committed.items() if offset is None}
    if first:
        await consumer.commit(first)
    had = {tp: offset for tp, offset in committed.items() if offset is not None and tp.topic not in anew}
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
