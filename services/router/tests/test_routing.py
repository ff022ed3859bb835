"""Routing: what the records of a partition become."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from common.channels import Channel
from common.deliveries import EncodedSegment, Item, OperatorMessage, Routed, decode_delivery, encode_segments
from common.identifiers import Slot
from router.index import RoomsIndex
from router.routing import Routes, route_broadcasts, route_updates
from services.router.tests.strategies import room
from services.router.tests.told import all_of

BITCOIN = {"type": "price_update", "tokenId": "coingecko:bitcoin", "value": 67012.5, "data": {"symbol": "BTC"}}


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes | None
    key: bytes | None = b"k"
    timestamp: int = 1_765_220_950_000


def records(*values: object) -> list[Record]:
    encoded = [value if value is None or isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    return [Record(offset, value) for offset, value in enumerate(encoded, start=100)]


def an_index(*rooms: tuple[int, dict[str, Any]], channel: Channel = Channel.PRICES) -> RoomsIndex:
    index = RoomsIndex()
    for slot, filters in rooms:
        index.add(Slot(slot), room(channel, filters))
    return index


def told(routes: Routes) -> dict[int, list[Item]]:
    """What gateways read."""
    return {
        slot: decode_delivery(encode_segments(1, 0, [EncodedSegment("", 0, 0, "", items)])).segments[0].items
        for slot, items in routes.items.items()
    }


def test_an_update_goes_to_the_slots_and_rooms_that_it_matches_with_its_frame():
    index = an_index((1, {"minValue": 1}), (1, {"tokenIds": ["coingecko:bitcoin"]}), (2, {}), (3, {"chains": ["base"]}))
    routes = route_updates(Channel.PRICES, 3, records(BITCOIN), index)

    assert set(routes.items) == {1, 2}
    [item] = told(routes)[1]
    assert isinstance(item, Routed)
    assert set(item.rooms) == {
        room(Channel.PRICES, {"minValue": 1}).id,
        room(Channel.PRICES, {"tokenIds": ["coingecko:bitcoin"]}).id,
    }
    assert (item.offset, item.user, item.key, item.produced_at) == (100, None, b"k", 1_765_220_950_000)
    assert json.loads(item.body) == {**BITCOIN, "id": "3:100", "channel": "prices", "timestamp": 1_765_220_950_000}
    assert (routes.updates, routes.matched, routes.dead) == (1, 3, [])


def test_a_private_update_names_its_user_and_reaches_public_rooms_and_the_users_own():
    index = an_index((1, {}), (2, {"userId": "alice"}), (3, {"userId": "bob"}))
    routes = route_updates(Channel.PRICES, 0, records({**BITCOIN, "userId": "alice"}), index)
    assert {slot: [item.user for item in all_of(Routed, items)] for slot, items in told(routes).items()} == {
        1: ["alice"],
        2: ["alice"],
    }


def test_a_public_update_does_not_match_rooms_of_a_user():
    routes = route_updates(Channel.PRICES, 0, records(BITCOIN), an_index((2, {"userId": "alice"})))
    assert not routes.items


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not json", "not JSON"),
        (b"[1]", "object"),
        ({"tokenId": "x"}, "type"),
        ({"type": "nonsense"}, "unknown type"),
        ({"type": "tvl_update"}, "belongs to channel tvl"),
        ({**BITCOIN, "channel": "tvl"}, "belongs to channel prices"),
        (b'{"type":"price_update","value":1e999}', ""),
        (b'{"type":"price_update","value":"1"}', "value"),
        (b'{"type":"price_update","data":"' + b"x" * 300_000 + b'"}', "at most"),
        (b'{"type":"price_update","data":"\xff"}', "UTF-8"),
    ],
)
def test_what_is_no_update_is_set_aside_with_the_reason_and_the_next_one_is_routed(value, reason):
    routes = route_updates(Channel.PRICES, 0, records(value, BITCOIN), an_index((1, {})))
    assert [(record.offset, reason in why) for record, why in routes.dead] == [(100, True)]
    assert [item.offset for item in all_of(Routed, told(routes)[1])] == [101]


def test_a_null_removes_an_entity_of_a_state_channel_and_is_set_aside_in_an_event_channel():
    assert route_updates(Channel.PRICES, 0, records(None), an_index((1, {}))).dead == []
    routes = route_updates(Channel.ALERTS, 0, records(None), an_index((1, {}), channel=Channel.ALERTS))
    assert [record.offset for record, _ in routes.dead] == [100]
    assert not routes.items


def test_a_broadcast_goes_to_every_live_slot():
    live = [Slot(1), Slot(2)]
    routes = route_broadcasts(0, records({"type": "broadcast", "data": {"text": "hi"}}), RoomsIndex(), live)
    assert set(routes.items) == {1, 2}
    [message] = told(routes)[1]
    assert isinstance(message, OperatorMessage)
    assert message.channel is None
    expected = {"type": "broadcast", "id": "system:0:100", "data": {"text": "hi"}, "timestamp": 1_765_220_950_000}
    assert json.loads(message.body) == expected


def test_a_broadcast_to_a_channel_goes_to_slots_that_have_a_room_of_it():
    index = an_index((1, {}), (2, {"tokenIds": ["x"]}))
    index.add(Slot(3), room(Channel.TVL, {}))
    given = records({"type": "broadcast", "channel": "prices", "data": 1})
    routes = route_broadcasts(0, given, index, [Slot(1), Slot(2), Slot(3), Slot(4)])
    assert set(routes.items) == {1, 2}
    [message] = told(routes)[2]
    assert isinstance(message, OperatorMessage)
    assert message.channel == "prices"
    assert json.loads(message.body)["channel"] == "prices"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"x",
        {"type": "price_update"},
        {"type": "broadcast"},
        {"type": "broadcast", "channel": "nope", "data": 1},
        b'{"type":"broadcast","data":"\xff"}',
    ],
)
def test_what_is_no_broadcast_is_set_aside(value):
    routes = route_broadcasts(0, records(value), RoomsIndex(), [Slot(1)])
    assert len(routes.dead) == 1
    assert not routes.items
