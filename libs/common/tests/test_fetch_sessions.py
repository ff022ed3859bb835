"""Fetch sessions: whatever is asked and whatever fails, the broker comes to fetch just what the consumer wants."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11, FetchResponse_v4, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from common.fetch_sessions import FetchSessions

NODE = 7
NOT_FOUND, WRONG_EPOCH = 70, 71
Wanted = dict[tuple[str, int], tuple[int, int]]


@dataclass
class Broker:
    """Sessions as KIP-227 tells them. `makes`: whether it makes any; `fetched`: what it looked at for the latest fetch."""

    makes: bool = True
    version: int = 11
    last: int = 0
    sessions: dict[int, tuple[int, Wanted]] = field(default_factory=dict)
    fetched: Wanted | None = None
    named: int = 0
    answers: bool = True

    async def send(self, node_id: int, request: Any) -> Any:
        assert node_id == NODE
        if not isinstance(request, FetchRequest):
            return request
        if self.version == 4:
            old = request.build(FetchRequest_v4)
            self.fetched = {(topic, number): (at, most) for topic, found in old.topics for number, at, most in found}
            return FetchResponse_v4(0, [])
        error, session = self._take(request.build(FetchRequest_v11))
        if not self.answers:
            raise ConnectionError
        return FetchResponse_v11(0, error, session, [])

    def _take(self, fetch: Any) -> tuple[int, int]:
        named = {(topic, number): (at, most) for topic, found in fetch.topics for number, _, at, _, most in found}
        self.named, self.fetched = len(named), None
        if fetch.session_epoch == 0:
            assert not fetch.forgotten_topics_data
            self.sessions.pop(fetch.session_id, None)
            self.fetched = named
            if not self.makes:
                return 0, 0
            self.last += 1
            self.sessions[self.last] = 1, named
            return 0, self.last
        if fetch.session_id not in self.sessions:
            return NOT_FOUND, 0
        epoch, known = self.sessions[fetch.session_id]
        if epoch != fetch.session_epoch:
            return WRONG_EPOCH, 0
        forgotten = {(topic, number) for topic, numbers in fetch.forgotten_topics_data for number in numbers}
        self.fetched = {**{each: place for each, place in known.items() if each not in forgotten}, **named}
        self.sessions[fetch.session_id] = epoch + 1, self.fetched
        return 0, fetch.session_id


def fetch_of(wanted: Wanted) -> FetchRequest:
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, number), place in wanted.items():
        topics.setdefault(topic, []).append((number, *place))
    return FetchRequest(500, 1, 50_000_000, 0, list(topics.items()))


wanted = st.dictionaries(
    st.tuples(st.sampled_from(["prices", "tvl"]), st.integers(0, 2)),
    st.tuples(st.integers(0, 3), st.just(1_000_000)),
    max_size=6,
)
happenings = st.sampled_from(["nothing", "nothing", "nothing", "no answer", "forgets", "restarts"])


@given(steps=st.lists(st.tuples(wanted, happenings), max_size=20))
async def test_the_broker_fetches_what_is_wanted_whatever_has_happened(steps: list[tuple[Wanted, str]]):
    broker = Broker()
    sessions = FetchSessions(broker.send)
    for want, happens in steps:
        if happens in ("forgets", "restarts"):
            broker.sessions.clear()
            broker.last = 0 if happens == "restarts" else broker.last
        broker.answers = happens != "no answer"
        try:
            response = await sessions.send(NODE, fetch_of(want))
        except ConnectionError:
            continue
        if response.error_code:
            response = await sessions.send(NODE, fetch_of(want))
        assert not response.error_code
        assert broker.fetched == want


async def test_only_what_has_moved_is_named():
    broker = Broker()
    sessions = FetchSessions(broker.send)
    want = {("prices", number): (0, 1000) for number in range(32)}
    await sessions.send(NODE, fetch_of(want))
    assert broker.named == 32
    want["prices", 3] = (5, 1000)
    await sessions.send(NODE, fetch_of(want))
    assert (broker.named, broker.fetched) == (1, want)


@pytest.mark.parametrize("broker", [Broker(makes=False), Broker(version=4)], ids=["makes none", "knows none"])
async def test_without_sessions_all_is_named_each_time(broker: Broker):
    sessions = FetchSessions(broker.send)
    want = {("prices", number): (0, 1000) for number in range(4)}
    for offset in range(3):
        want["prices", 0] = (offset, 1000)
        await sessions.send(NODE, fetch_of(want))
        assert broker.fetched == want


async def test_a_fetch_that_was_given_up_while_another_was_sent_says_nothing_of_it():
    broker = Broker()
    held: list[asyncio.Event] = []

    async def slow(node_id: int, request: Any) -> Any:
        answer = await broker.send(node_id, request)
        held.append(asyncio.Event())
        await held[-1].wait()
        return answer

    sessions = FetchSessions(slow)
    first = asyncio.create_task(sessions.send(NODE, fetch_of({("prices", 0): (0, 1000)})))
    await asyncio.sleep(0)
    second = asyncio.create_task(sessions.send(NODE, fetch_of({("tvl", 0): (0, 1000)})))
    await asyncio.sleep(0)
    for event in held:
        event.set()
    await asyncio.gather(first, second)
    third = asyncio.create_task(sessions.send(NODE, fetch_of({("tvl", 0): (1, 1000)})))
    await asyncio.sleep(0)
    held[-1].set()
    assert not (await third).error_code
    assert broker.fetched == {("tvl", 0): (1, 1000)}


async def test_other_requests_go_as_they_are():
    assert await FetchSessions(Broker().send).send(NODE, "metadata") == "metadata"
