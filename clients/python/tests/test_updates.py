from typing import Any

import pytest

from defistream.updates import Update


def update(channel: str = "prices", **raw: Any) -> Update:
    return Update(channel, "0:1", raw)


def test_fields_are_those_of_the_producer():
    raw: dict[str, Any] = {
        "type": "alert",
        "tokenId": "t",
        "protocolId": "p",
        "userId": "u",
        "value": 1,
        "timestamp": 5.0,
        "data": [1],
    }
    one = update(**raw)
    assert (one.type, one.token_id, one.protocol_id, one.user_id) == ("alert", "t", "p", "u")
    assert (one.value, one.timestamp, one.data) == (1, 5, [1])


def test_fields_of_another_type_count_as_missing():
    one = update(tokenId=7, protocolId=[], userId={}, value="9", timestamp=True, chains=[1, "base"], chain=3)
    assert (one.token_id, one.protocol_id, one.user_id, one.value, one.timestamp, one.data) == (None,) * 6
    assert one.chains == ("base",)


def test_chain_and_chains_are_one_list():
    assert update(chain="a", chains=["b", "a"]).chains == ("a", "b")


@pytest.mark.parametrize(
    ("channel", "raw", "entity"),
    [
        ("prices", {"tokenId": "t", "protocolId": "p"}, "t"),
        ("tvl", {"tokenId": "t", "protocolId": "p"}, "p"),
        ("tvl", {"tokenId": "t"}, "t"),
        ("alerts", {"userId": "u"}, "u"),
        ("alerts", {}, None),
    ],
)
def test_the_entity_is_what_the_channel_is_about(channel, raw, entity):
    assert update(channel, **raw).entity == entity


def test_updates_are_equal_by_channel_and_id():
    assert {Update("prices", "0:1", {"value": 1}), Update("prices", "0:1", {})} == {Update("prices", "0:1", {})}
    assert Update("prices", "0:1", {}) != Update("tvl", "0:1", {})
