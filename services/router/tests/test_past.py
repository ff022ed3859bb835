"""Replays and snapshots of a router process: what is asked of the past is all there, once, in order, and then goes on live."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from common.channels import Channel
from common.deliveries import Activated, Progress, Routed, Verdict
from services.router.tests.outside import Answer, FakeGateway, Outside
from tests.support.fixtures import Isolation
from tests.support.matcher import matches
from tests.support.system import Service, System

RECENT = 200
Published = list[tuple[str, Mapping[str, Any]]]
_slots = itertools.count(1)


@pytest.fixture(autouse=True, scope="module")
def router(system: System) -> Service:
    """One with room for few recent updates, so that a replay soon needs Kafka."""
    return system.start("router", router_recent_updates=str(RECENT), router_checkpoint_interval="300ms")


@pytest.fixture
async def gateway(outside: Outside) -> FakeGateway:
    return await outside.gateway(next(_slots) % 8)


def prices(numbers: Iterable[int]) -> list[Mapping[str, Any]]:
    chains = ("ethereum", "base", "solana")
    return [{"type": "price_update", "tokenId": f"token-{n % 40}", "chain": chains[n % 3], "value": n} for n in numbers]


def place(update_id: str) -> tuple[int, int]:
    partition, _, offset = update_id.partition(":")
    return int(partition), int(offset)


def expected(published: Published, filters: Mapping[str, Any], since: Mapping[int, int], answer: Answer) -> set[str]:
    """What a plain look says: matching, after the cursor, before the activation."""
    found = set()
    for update_id, update in published:
        partition, offset = place(update_id)
        if since[partition] < offset < answer.activated[partition].offset and matches(update, filters):
            found.add(update_id)
    return found


def in_order(answer: Answer) -> bool:
    return all(
        [item.offset for item in items] == sorted({item.offset for item in items}) for items in answer.replayed.values()
    )


async def everything_routed(outside: Outside, channel: str) -> None:
    """Return when the router has come to the end of a channel as it is now: what is asked for then is all in the past."""
    ends = await outside.ends(channel)
    gateway = await outside.gateway(next(_slots) % 8)
    await gateway.want(channel)

    def there(g: FakeGateway) -> bool:
        reached = {s.partition: item.offset for s, item in g.items(Progress) if s.channel == channel}
        for segment, item in g.items(Activated):
            if segment.channel == channel:
                reached[segment.partition] = max(reached.get(segment.partition, -1), item.offset - 1)
        return reached == ends

    await gateway.until(there, f"everything of {channel} is routed", limit=30)


FILTERS = [
    {},
    {"minValue": 30, "maxValue": 60.5},
    {"chains": ["Base"], "minValue": 10},
    {"tokenIds": ["token-3", "token-17"]},
    {"tokenIds": ["absent"]},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_a_replay_from_memory_is_what_the_filter_selects_after_the_cursor(
    outside: Outside, gateway: FakeGateway, router: Service, filters: dict[str, Any]
):
    since = await outside.ends("prices")
    published = await outside.publish_all("prices", prices(range(100)))
    reads = router.count("router_replay_reads_total")

    _, request = await gateway.want("prices", filters, since=since, stream=await outside.stream("prices"))

    answer = await gateway.answered(request)
    assert answer.verdicts == {Verdict.REPLAY}
    assert set(answer.ids) == expected(published, filters, since, answer)
    assert len(answer.ids) == len([1 for _, update in published if matches(update, filters)])
    assert in_order(answer)
    assert router.count("router_replay_reads_total") == reads


async def test_a_replay_begins_in_kafka_where_memory_does_not_reach_and_ends_in_memory(
    outside: Outside, gateway: FakeGateway, router: Service
):
    since = await outside.ends("prices")
    published = await outside.publish_all("prices", prices(range(6000)))
    reads = router.count("router_replay_reads_total")
    filters = {"chains": ["ethereum"], "maxValue": 5000}
    await everything_routed(outside, "prices")

    _, request = await gateway.want("prices", filters, since=since)

    answer = await gateway.answered(request)
    assert set(answer.ids) == expected(published, filters, since, answer)
    assert len(answer.ids) == 1667
    assert in_order(answer)
    assert 1 <= router.count("router_replay_reads_total") - reads <= 4


async def test_two_hundred_who_ask_at_once_share_the_reads_of_a_partition(
    outside: Outside, gateway: FakeGateway, router: Service
):
    since = await outside.ends("prices")
    published = await outside.publish_all("prices", prices(range(4000)))
    reads = router.count("router_replay_reads_total")

    rooms = [{"minValue": number * 10} for number in range(200)]
    asked = await asyncio.gather(*(gateway.want("prices", each, since=since) for each in rooms))

    for (_, request), filters in zip(asked, rooms, strict=True):
        answer = await gateway.answered(request)
        assert set(answer.ids) == expected(published, filters, since, answer)
        assert in_order(answer)
    assert router.count("router_replay_reads_total") - reads <= 2 * 4


async def test_a_cursor_that_names_no_partition_is_replayed_from_the_start(outside: Outside, gateway: FakeGateway):
    published = await outside.publish_all("alerts", [{"type": "alert", "protocolId": f"p-{n}"} for n in range(50)])

    await everything_routed(outside, "alerts")

    _, request = await gateway.want("alerts", None, since={})

    answer = await gateway.answered(request)
    assert set(answer.ids) == {update_id for update_id, _ in published}


async def test_live_updates_go_on_during_replays_and_nothing_is_missing_or_twice_between(
    outside: Outside, gateway: FakeGateway
):
    since = await outside.ends("prices")
    published = await outside.publish_all("prices", prices(range(2000)))
    filters = {"chains": ["base"]}
    stopped = asyncio.Event()

    async def produce() -> None:
        for start in itertools.count(2000, 20):
            if stopped.is_set():
                return
            published.extend(await outside.publish_all("prices", prices(range(start, start + 20))))
            await asyncio.sleep(0.02)

    producing = asyncio.create_task(produce())
    requests = []
    for _ in range(6):
        room, request = await gateway.want("prices", filters, since=since)
        requests.append(request)
        await gateway.answered(request)
    stopped.set()
    await producing

    wanted = {update_id for update_id, update in published if matches(update, filters)}
    for request in requests:
        answer = Answer.of(request, gateway.told)
        assert set(answer.ids) == expected(published, filters, since, answer)
        assert in_order(answer)
        rest = {each for each in wanted if place(each)[1] >= answer.activated[place(each)[0]].offset}

        def live(g: FakeGateway, rest: set[str] = rest) -> bool:
            routed = {f"{s.partition}:{item.offset}" for s, item in g.items(Routed) if room.id in item.rooms}
            return rest <= routed

        await gateway.until(live, "what follows the replay is routed live")


async def test_a_cursor_of_another_stream_or_from_before_the_start_has_expired(outside: Outside, gateway: FakeGateway):
    await outside.publish_all("governance", [{"type": "governance", "protocolId": "aave"}] * 4)
    since = await outside.ends("governance")

    _, request = await gateway.want("governance", None, since=since, stream="other0")

    answer = await gateway.answered(request)
    assert answer.verdicts == {Verdict.EXPIRED}
    assert answer.ids == []


async def test_a_cursor_beyond_the_end_is_of_the_future(outside: Outside, gateway: FakeGateway):
    ends = await outside.ends("emissions")

    _, request = await gateway.want("emissions", None, since={p: end + 5 for p, end in ends.items()})

    answer = await gateway.answered(request)
    assert answer.verdicts == {Verdict.FUTURE}


async def test_an_ask_that_is_repeated_while_it_waits_is_answered_once(outside: Outside, gateway: FakeGateway):
    since = await outside.ends("prices")
    await outside.publish_all("prices", prices(range(3000)))

    _, request = await gateway.want("prices", None, since=since)
    await gateway.repeat(request, "prices", None, since=since)

    answer = await gateway.answered(request)
    assert in_order(answer)


async def test_a_slot_with_a_new_gateway_is_told_how_far_everything_has_come(outside: Outside):
    ends = await outside.ends("prices")
    gateway = await outside.gateway(next(_slots) % 8)

    def told(g: FakeGateway) -> bool:
        progress = {s.partition: item.offset for s, item in g.items(Progress) if s.channel == "prices"}
        return progress == ends

    await gateway.until(told, "the slot knows the positions of prices")


# Snapshots ----------------------------------------------------------------------------------------------------------

ENTITIES = 6600
REMOVED = range(0, 60, 3)


def tvl(numbers: Iterable[int], *, plus: int = 0) -> list[Mapping[str, Any]]:
    return [{"type": "tvl_update", "protocolId": f"protocol-{n}", "value": n + plus} for n in numbers]


@pytest.fixture(scope="module")
def values(isolation: Isolation) -> dict[str, float]:
    """Every protocol's last value: half of them written twice, some removed."""
    asyncio.run(_write_values(isolation))
    removed = {f"protocol-{n}" for n in REMOVED}
    values = {f"protocol-{n}": n + (10_000 if n % 2 == 0 else 0) for n in range(ENTITIES)}
    return {name: value for name, value in values.items() if name not in removed}


async def _write_values(isolation: Isolation) -> None:
    async with Outside(isolation, slots=8) as outside:
        await outside.publish_all("tvl", tvl(range(ENTITIES)))
        await outside.publish_all("tvl", tvl(range(0, ENTITIES, 2), plus=10_000))
        for n in REMOVED:
            await outside.send(outside.topics.updates(Channel.TVL), None, f"protocol-{n}".encode())


def last_values(answer: Answer) -> dict[str, float]:
    return {body["protocolId"]: body["value"] for body in answer.bodies}


async def snapshot(outside: Outside, filters: Mapping[str, Any] | None = None, **past: Any) -> Answer:
    await everything_routed(outside, "tvl")
    gateway = await outside.gateway(next(_slots) % 8)
    _, request = await gateway.want("tvl", filters, snapshot=True, **past)
    return await gateway.answered(request)


async def test_a_snapshot_is_the_last_value_of_each_entity_that_matches(outside: Outside, values: dict[str, float]):
    answer = await snapshot(outside)
    assert answer.verdicts == {Verdict.SNAPSHOT}
    assert last_values(answer) == values
    assert len(answer.ids) == len(values)
    assert in_order(answer)


async def test_a_snapshot_keeps_the_bounds_of_values(outside: Outside, values: dict[str, float]):
    answer = await snapshot(outside, {"minValue": 12_000.5})
    assert last_values(answer) == {name: value for name, value in values.items() if value >= 12_000.5}


async def test_since_with_snapshot_is_a_replay_where_the_cursor_is_good_and_a_snapshot_where_not(
    outside: Outside, values: dict[str, float]
):
    ends = await outside.ends("tvl")
    good = await snapshot(outside, None, since=ends, stream=await outside.stream("tvl"))
    assert (good.verdicts, good.ids) == ({Verdict.REPLAY}, [])

    bad = await snapshot(outside, None, since=ends, stream="other0")
    assert bad.verdicts == {Verdict.SNAPSHOT}
    assert last_values(bad) == values


async def test_a_removed_entity_is_in_no_later_snapshot(outside: Outside, values: dict[str, float]):
    await outside.send(outside.topics.updates(Channel.TVL), None, b"protocol-1")

    assert "protocol-1" not in last_values(await snapshot(outside))

    await outside.publish_all("tvl", tvl([1]))
    assert last_values(await snapshot(outside)) == values


async def test_a_router_that_starts_anew_builds_its_tables_from_checkpoints(
    outside: Outside, values: dict[str, float], system: System, router: Service
):
    router.stop()
    following = system.start("router", router_recent_updates=str(RECENT), router_checkpoint_interval="300ms")

    assert last_values(await snapshot(outside)) == values
    assert following.metrics()['router_latest_builds_total{origin="checkpoint"}'] == 12
    following.stop()


async def test_a_router_that_finds_redis_emptied_builds_its_tables_from_the_topics(
    outside: Outside, values: dict[str, float], system: System, router: Service
):
    if router.runs:
        router.stop()
    await outside.redis.flushdb()
    following = system.start("router", router_checkpoint_interval="300ms")

    assert last_values(await snapshot(outside)) == values
    assert following.metrics()['router_latest_builds_total{origin="topic"}'] == 12
