"""A router process between real topics: updates in, deliveries out."""

from __future__ import annotations

import json

import pytest

from common.channels import Channel
from common.deliveries import Activated, OperatorMessage, Progress, Routed, TookOver
from common.topics import stream_key
from services.router.tests.outside import FakeGateway, Outside
from tests.support.system import System


@pytest.fixture(autouse=True, scope="module")
def router(system: System):
    return system.start("router")


async def test_an_update_reaches_the_slot_that_wants_its_room_from_the_activation_on(outside: Outside):
    gateway = await outside.gateway(1)
    room = await gateway.activated("prices", {"tokenIds": ["coingecko:bitcoin"], "minValue": 10})

    await outside.publish("prices", {"type": "price_update", "tokenId": "coingecko:bitcoin", "value": 9})
    sent = await outside.publish("prices", {"type": "price_update", "tokenId": "coingecko:bitcoin", "value": 11})

    await gateway.until(lambda g: bool(g.bodies()), "the update is delivered")
    assert [(body["id"], body["value"], body["channel"]) for body in gateway.bodies(room.id)] == [(sent, 11, "prices")]


async def test_segments_carry_the_generation_and_the_stream_epoch_of_the_channel(outside: Outside):
    gateway = await outside.gateway(1)
    await gateway.activated("tvl")
    records = await outside.everything_in(outside.topics.rooms_interest)
    epoch = json.loads([record.value for record in records if record.key == stream_key("tvl")][-1])["epoch"]
    assert {segment.stream for segment, _ in gateway.items(Activated)} == {epoch}
    assert all(segment.generation > 1_700_000_000_000 for segment, _ in gateway.items(Activated))


async def test_a_request_that_is_made_again_is_answered_again(outside: Outside):
    gateway = await outside.gateway(1)
    await gateway.activated("prices", {"chains": ["base"]})
    await gateway.activated("prices", {"chains": ["base"]})
    assert {item.request for _, item in gateway.items(Activated)} == {1, 2}


async def test_after_leaving_a_room_its_updates_are_not_delivered(outside: Outside):
    gateway = await outside.gateway(1)
    left = await gateway.activated("prices", {"tokenIds": ["left"]})
    await gateway.leave(left.id)
    kept = await gateway.activated("prices", {"tokenIds": ["left", "kept"]})
    await outside.publish("prices", {"type": "price_update", "tokenId": "left"})
    await gateway.until(lambda g: bool(g.bodies()), "the update is delivered to the other room")
    assert [item.rooms for _, item in gateway.items(Routed)] == [[kept.id]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not json", "not JSON"),
        (b'{"value":1}', "type"),
        (b'{"type":"tvl_update"}', "channel"),
        (b'{"type":"price_update","value":1e999}', ""),
        (b'{"type":"price_update","data":"' + b"x" * 300_000 + b'"}', "at most"),
    ],
    ids=["no JSON", "no type", "wrong channel", "infinite", "300 KiB"],
)
async def test_a_bad_update_is_set_aside_with_its_origin_and_the_next_of_the_partition_is_delivered(
    outside: Outside, value: bytes, reason: str
):
    gateway = await outside.gateway(1)
    await gateway.activated("prices")
    bad = await outside.send(outside.topics.updates(Channel.PRICES), value, b"bad-key", partition=2)
    good = await outside.send(outside.topics.updates(Channel.PRICES), b'{"type":"price_update"}', b"k", partition=2)
    await gateway.until(lambda g: f"2:{good.offset}" in [b["id"] for b in g.bodies()], "the next update is delivered")

    letters = await outside.everything_in(outside.topics.dead_letter)
    [letter] = [each for each in letters if dict(each.headers)["offset"] == str(bad.offset).encode()]
    headers = {name: text.decode() for name, text in letter.headers}
    assert reason in headers.pop("reason")
    assert headers == {"topic": outside.topics.updates(Channel.PRICES), "partition": "2", "offset": str(bad.offset)}
    assert (letter.key, letter.value) == (b"bad-key", value)


async def test_a_null_in_a_state_topic_is_passed_and_told_as_progress(outside: Outside):
    gateway = await outside.gateway(1)
    await gateway.activated("tvl")
    sent = await outside.send(outside.topics.updates(Channel.TVL), None, b"aave", partition=1)

    def told(g: FakeGateway) -> bool:
        return any(segment.partition == 1 and item.offset >= sent.offset for segment, item in g.items(Progress))

    await gateway.until(told, "the progress is told")
    assert gateway.items(Routed) == []


async def test_private_updates_name_their_user(outside: Outside):
    gateway = await outside.gateway(1)
    await gateway.activated("alerts")
    await outside.publish("alerts", {"type": "alert", "userId": "alice"})
    await outside.publish("alerts", {"type": "alert"})
    await gateway.until(lambda g: len(g.bodies()) == 2, "both are delivered")
    assert {item.user for _, item in gateway.items(Routed)} == {"alice", None}


async def test_an_operators_broadcast_reaches_slots_with_and_without_rooms_and_a_channels_only_those_with(
    outside: Outside,
):
    with_rooms, without = await outside.gateway(1), await outside.gateway(2)
    await with_rooms.activated("prices")
    for message in ({"type": "broadcast", "channel": "prices", "data": 1}, {"type": "broadcast", "data": 2}):
        await outside.send(outside.topics.system, json.dumps(message).encode())

    def data(gateway: FakeGateway) -> list[int]:
        return [json.loads(item.body)["data"] for _, item in gateway.items(OperatorMessage)]

    await with_rooms.until(lambda g: data(g) == [1, 2], "both reach the one with rooms")
    await without.until(lambda g: data(g) == [2], "the general one reaches the other")


async def test_a_slots_new_holder_does_not_inherit_rooms(outside: Outside):
    old = await outside.gateway(1)
    await old.activated("prices", {"tokenIds": ["inherited"]})
    new = await outside.gateway(1, epoch=old.epoch + 1)
    await new.activated("prices", {"tokenIds": ["other", "inherited"]})
    await outside.publish("prices", {"type": "price_update", "tokenId": "inherited"})
    await new.until(lambda g: bool(g.bodies()), "the update is delivered")
    assert [len(item.rooms) for _, item in new.items(Routed)] == [1]


async def test_updates_are_in_the_order_of_their_partition(outside: Outside):
    gateway = await outside.gateway(3)
    await gateway.activated("prices", {"tokenIds": ["ordered"]})
    ids = [
        await outside.publish("prices", {"type": "price_update", "tokenId": "ordered", "value": n}) for n in range(50)
    ]
    await gateway.until(lambda g: len(g.bodies()) == 50, "all are delivered")
    assert [body["id"] for body in gateway.bodies()] == ids


async def test_a_live_slot_was_told_who_owns_each_partition_when_a_router_joins(outside: Outside, system: System):
    gateway = await outside.gateway(6)
    await gateway.activated("prices")
    second = system.start("router")
    sources = {(channel.value, partition) for channel in Channel for partition in range(4)} | {("system", 0)}

    def owners(g: FakeGateway) -> set[tuple[str, int]]:
        return {(segment.channel, segment.partition) for segment, _ in g.items(TookOver)}

    await gateway.until(lambda g: owners(g) == sources, "every partition is taken over", limit=30)
    assert all(item.interest for _, item in gateway.items(TookOver))
    assert second.stop() == 0
