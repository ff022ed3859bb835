"""Whatever the filters and updates: what routers and gateways deliver is what a plain matcher says.

Connections are spread over two gateways, and the partitions over two routers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import Client
from tests.support.connect import Connect, settle
from tests.support.matcher import Wish, reaches
from tests.support.samples import TYPES, unique, update
from tests.support.system import System
from tests.support.waiting import wait_until

CHANNELS = ["prices", "tvl", "alerts"]
PERMISSIONS = {"alice": ("*",), "bob": ("channel:*",), "carol": ("channel:*", "users:*")}
MAY_FILTER_BY_ANY_USER = ("alice", "carol")
PARTITIONS = 4

# Few values, so that they meet; written in several ways, so that what must be equal is found equal.
tokens = st.sampled_from(["bitcoin", "Bitcoin", " bitcoin ", "base:0xAbC1", "base:0xaBc1", "Base:0xabc1", "usdc"])
protocols = st.sampled_from(["aave", "AAVE", " Aave", "lido", "Curve-dex", "curve-DEX"])
chains = st.sampled_from(["ethereum", "Ethereum ", "base", "BASE", "solana", "tron"])
users = st.sampled_from(["alice", "bob", "carol", " bob", "nobody"])
values = st.sampled_from([-5, 0, 0.5, 1, 1.0, 7.25, 10, 1e6, 2**60, -1e300])


@dataclass(frozen=True, slots=True)
class Seat:
    """One connection: whose key, at which gateway, with which subscriptions."""

    user: str
    gateway: int
    wishes: tuple[Wish, ...]


def _bounds(filters: dict[str, Any]) -> dict[str, Any]:
    """Bounds in their order, as others are refused."""
    if {"minValue", "maxValue"} <= filters.keys():
        low, high = sorted((filters["minValue"], filters["maxValue"]))
        return filters | {"minValue": low, "maxValue": high}
    return filters


def _filters(user: str) -> st.SearchStrategy[dict[str, Any]]:
    named = users if user in MAY_FILTER_BY_ANY_USER else st.just(user)
    optional: dict[str, st.SearchStrategy[Any]] = {
        "tokenIds": st.lists(tokens, min_size=1, max_size=3),
        "protocolIds": st.lists(protocols, min_size=1, max_size=3),
        "chains": st.lists(chains, min_size=1, max_size=3),
        "userId": named,
        "minValue": values,
        "maxValue": values,
    }
    return st.fixed_dictionaries({}, optional=optional).map(_bounds)


def _seats(user: str) -> st.SearchStrategy[Seat]:
    wishes = st.lists(st.builds(Wish, st.sampled_from(CHANNELS), _filters(user)), max_size=4).map(tuple)
    return st.builds(Seat, st.just(user), st.integers(0, 1), wishes)


seats = st.lists(st.sampled_from(list(PERMISSIONS)).flatmap(_seats), min_size=1, max_size=6)

updates = st.lists(
    st.tuples(
        st.sampled_from(CHANNELS),
        st.integers(0, PARTITIONS - 1),
        st.fixed_dictionaries(
            {},
            optional={
                "tokenId": tokens,
                "protocolId": protocols,
                "chain": chains | st.lists(chains, max_size=3),
                "chains": chains | st.lists(chains, max_size=3),
                "userId": users,
                "value": values,
            },
        ),
    ),
    min_size=10,
    max_size=60,
)


@pytest.fixture(scope="module")
def two_routers(system: System) -> Iterator[System]:
    """The system while two routers share the partitions."""
    second = system.start("router")
    wait_until(
        lambda: all(each.count("router_partitions") > 0 for each in system.running("router")),
        "both routers own partitions",
        limit=30,
    )
    yield system
    assert second.stop() == 0


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
@given(seats=seats, updates=updates)
def test_what_is_delivered_is_what_a_plain_matcher_says(
    two_routers: System, seats: list[Seat], updates: list[tuple[str, int, dict[str, Any]]]
):
    delivered, wanted = asyncio.run(_play(two_routers, seats, updates))
    assert delivered == wanted


async def _play(
    system: System, seats: list[Seat], updates: list[tuple[str, int, dict[str, Any]]]
) -> tuple[list[Counter[str]], list[Counter[str]]]:
    """What each connection got, and what it had to get: ids of the example's updates, counted."""
    mark = unique("example")
    async with Connect(system) as connect, system.producer() as producer:
        clients = await asyncio.gather(*(_take(seat, connect, system) for seat in seats))
        written = [update(channel, **fields, data=mark) for channel, _partition, fields in updates]
        places = [(channel, partition) for channel, partition, _fields in updates]
        published = [
            await producer.publish(each, partition=partition)
            for each, (_, partition) in zip(written, places, strict=True)
        ]
        for channel in CHANNELS:
            await settle(producer, channel, *clients)
    ids = [f"{each.channel}/{each.id}" for each in published]
    wanted = [
        Counter(name for name, each in zip(ids, written, strict=True) if reaches(each, seat.wishes, seat.user))
        for seat in seats
    ]
    return [_heard(client, mark) for client in clients], wanted


async def _take(seat: Seat, connect: Connect, system: System) -> Client:
    client = await connect(system.key(seat.user, *PERMISSIONS[seat.user]), gateway=system.gateways[seat.gateway])
    for wish in seat.wishes:
        await client.subscribe(wish.channel, dict(wish.filters))
    return client


def _heard(client: Client, mark: str) -> Counter[str]:
    assert all(each["channel"] in TYPES for each in client.updates)
    return Counter(f"{each['channel']}/{each['id']}" for each in client.updates if each.get("data") == mark)
