"""A router process between real topics: updates in, deliveries out."""

from __future__ import annotations

import pytest

from services.router.tests.outside import Outside
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
