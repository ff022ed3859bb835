"""The router group as its members see it: eager, in rounds. Who is silent for too long is put out, and may not commit any more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from common.kafka import TopicPartition
from tests.simulation.broker import Consumer
from tests.simulation.loops import Loop


class Group:
    """`loop_of(consumer)`: the process in which it lives, `None` when that is no more."""

    def __init__(self, sources: Sequence[TopicPartition], chance: random.Random, loop_of: Any) -> None:
        self._sources = sources
        self._chance = chance
        self._loop_of = loop_of
        self._expected: list[Consumer] = []
        self._joined: dict[Consumer, asyncio.Future[Any]] = {}
        self.members: list[Consumer] = []
        self.generation = 0
        self.owners: dict[TopicPartition, Consumer] = {}

    def may_commit(self, consumer: Consumer) -> bool:
        return consumer in self.members and consumer.generation == self.generation

    def add(self, consumer: Consumer) -> None:
        if consumer not in self.members:
            self.members.append(consumer)
        self.rebalance()

    def remove(self, consumer: Consumer) -> None:
        if consumer in self.members:
            self.members.remove(consumer)
            self._joined.pop(consumer, None)
            self.rebalance()

    @property
    def pending(self) -> bool:
        """Whether a round waits for somebody."""
        return bool(self._expected)

    def rebalance(self) -> None:
        """A round begins: every member gives up what it has and joins anew."""
        self._expected = list(self.members)
        for member in self._expected:
            self._call(member)
        self._complete()

    def put_out(self, silent: Sequence[Consumer]) -> None:
        """Session timeout: go on without these."""
        gone = [member for member in self.members if member in silent]
        if gone:
            self.members = [member for member in self.members if member not in gone]
            for member in gone:
                _tell(self._joined.pop(member, None), None)
            self.rebalance()

    def _call(self, member: Consumer) -> None:
        loop: Loop | None = self._loop_of(member)
        if loop is not None and not member.rejoining:
            member.rejoining = True
            loop.own(self._rejoin(member, loop))

    async def _rejoin(self, member: Consumer, loop: Loop) -> None:
        await member.listener.on_partitions_revoked(set(member.positions))
        member.positions, member.paused = {}, set()
        while True:
            self._joined[member] = joined = loop.create_future()
            self._complete()
            assigned = await joined
            if assigned is not None:
                break
        member.positions = dict.fromkeys(assigned, 0)
        member.shown = dict.fromkeys(assigned, 0)
        await member.listener.on_partitions_assigned(set(assigned))
        member.rejoining = False
        member.wake()
        if self._expected and member in self.members:
            # A round began meanwhile.
            self._call(member)

    def _complete(self) -> None:
        if not self._expected or any(member not in self._joined for member in self.members):
            return
        self._expected = []
        self.generation += 1
        shares: dict[Consumer, list[TopicPartition]] = {member: [] for member in self.members}
        for source in self._sources:
            owner = self._chance.choice(self.members)
            shares[owner].append(source)
            self.owners[source] = owner
        for member, share in shares.items():
            member.generation = self.generation
            _tell(self._joined.pop(member), share)


def _tell(joined: asyncio.Future[Any] | None, share: Sequence[TopicPartition] | None) -> None:
    """What came of the round, to a member that may be dead."""
    if joined is not None and not joined.done():
        joined.set_result(share)
