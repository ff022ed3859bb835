"""HTTP beside the sockets: broadcast, statistics, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest

from tests.support.connect import Connect, settle
from tests.support.producer import Producer
from tests.support.samples import unique, update
from tests.support.system import System
from tests.support.waiting import eventually

# Broadcast -----------------------------------------------------------------------------------------------------------


async def _post(http: httpx.AsyncClient, body: Any, key: str | None) -> httpx.Response:
    return await http.post("/v2/broadcast", json=body, headers={"Authorization": f"Bearer {key}"} if key else {})


async def test_broadcast_answers_202_with_where_kafka_has_each(
    http: httpx.AsyncClient, connect: Connect, system: System
):
    client, tokens = await connect(), [unique("token") for _ in range(3)]
    await client.subscribe("prices", {"tokenIds": tokens})
    answer = await _post(http, [update("prices", tokenId=token) for token in tokens], system.key("desk", "broadcast"))
    assert answer.status_code == 202
    accepted = _accepted(answer)
    assert [each["topic"].removeprefix(system.environment["TOPIC_PREFIX"]) for each in accepted] == [
        "updates.prices"
    ] * 3
    await client.expect_number_of_updates(3)
    assert {each["id"] for each in client.updates} == {f"{each['partition']}:{each['offset']}" for each in accepted}


async def test_broadcast_keeps_updates_of_an_entity_in_one_partition(http: httpx.AsyncClient, system: System):
    token = unique("token")
    answer = await _post(
        http, [update("prices", tokenId=token, value=number) for number in range(8)], system.key("desk", "broadcast")
    )
    assert len({each["partition"] for each in _accepted(answer)}) == 1


async def test_broadcast_of_a_private_update_reaches_its_user_only(
    http: httpx.AsyncClient, connect: Connect, producer: Producer, system: System
):
    alice, bob, protocol = await connect(system.key("alice")), await connect(system.key("bob")), unique("protocol")
    for client in (alice, bob):
        await client.subscribe("alerts", {"protocolIds": [protocol]})
    await _post(http, update("alerts", protocolId=protocol, userId="bob"), system.key("desk", "broadcast"))
    await bob.expect_number_of_updates(1)
    await settle(producer, "alerts", alice)
    assert not [each for each in alice.updates if each.get("protocolId") == protocol]


async def test_broadcast_without_a_key_is_401(http: httpx.AsyncClient):
    answer = await _post(http, {"type": "broadcast", "data": 1}, None)
    assert (answer.status_code, _code(answer)) == (401, "api_key_required")


async def test_broadcast_with_an_invalid_key_is_401(http: httpx.AsyncClient):
    answer = await _post(http, {"type": "broadcast", "data": 1}, "ds_wrong")
    assert (answer.status_code, _code(answer)) == (401, "invalid_api_key")


async def test_broadcast_with_a_key_that_lacks_the_permission_is_403(http: httpx.AsyncClient, system: System):
    answer = await _post(http, {"type": "broadcast", "data": 1}, system.key("alice", "channel:*"))
    assert (answer.status_code, _code(answer)) == (403, "permission_denied")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"type": "weather_update"}, id="unknown_type"),
        pytest.param({"tokenId": "x"}, id="no_type"),
        pytest.param({"type": "price_update", "channel": "tvl"}, id="wrong_channel"),
        pytest.param({"type": "price_update", "value": "5"}, id="text_value"),
        pytest.param({"type": "broadcast"}, id="broadcast_without_data"),
        pytest.param({"type": "broadcast", "channel": "weather", "data": 1}, id="broadcast_to_unknown_channel"),
        pytest.param([], id="empty_list"),
        pytest.param("update", id="text"),
        pytest.param([{"type": "price_update"}, 5], id="number_in_list"),
    ],
)
async def test_broadcast_of_what_is_no_update_is_400_and_nothing_is_written(
    body: Any, http: httpx.AsyncClient, system: System
):
    answer = await _post(http, body, system.key("desk", "broadcast"))
    assert answer.status_code == 400
    assert _code(answer) in {"bad_request", "unknown_channel", "unknown_type"}


async def test_broadcast_of_broken_json_is_400(http: httpx.AsyncClient, system: System):
    answer = await http.post(
        "/v2/broadcast", content=b'{"type":', headers={"x-api-key": system.key("desk", "broadcast")}
    )
    assert answer.status_code == 400


async def test_broadcast_of_an_update_of_300_kib_is_refused(http: httpx.AsyncClient, system: System):
    answer = await _post(http, update("prices", data="x" * 300 * 1024), system.key("desk", "broadcast"))
    assert answer.status_code in {400, 413}


def _accepted(answer: httpx.Response) -> list[dict[str, Any]]:
    """Where each update of an accepted broadcast lies."""
    assert answer.status_code == 202, answer.text
    accepted: list[dict[str, Any]] = answer.json()["accepted"]
    return accepted


def _code(answer: httpx.Response) -> str:
    code: str = answer.json()["error"]["code"]
    return code


# Statistics, health, metrics -----------------------------------------------------------------------------------------


async def test_stats_count_connections_rooms_and_subscriptions_by_channel(http: httpx.AsyncClient, connect: Connect):
    before = (await http.get("/v2/stats")).json()
    first, second = await connect(), await connect()
    shared = {"tokenIds": [unique("token")]}
    for client in (first, second):
        await client.subscribe("prices", shared)
    await first.subscribe("tvl", shared)
    after = (await http.get("/v2/stats")).json()
    assert after["connections"] == before["connections"] + 2
    assert after["rooms"] == before["rooms"] + 2
    assert after["subscriptions"].get("prices", 0) == before["subscriptions"].get("prices", 0) + 2
    assert after["subscriptions"].get("tvl", 0) == before["subscriptions"].get("tvl", 0) + 1
    await first.close()

    async def gone() -> bool:
        return bool((await http.get("/v2/stats")).json()["connections"] == before["connections"] + 1)

    await eventually(gone, "one connection less")


async def test_stats_count_updates_and_deliveries_so_far(http: httpx.AsyncClient, connect: Connect, producer: Producer):
    clients, token = [await connect(), await connect()], unique("token")
    for client in clients:
        await client.subscribe("prices", {"tokenIds": [token]})
    before = (await http.get("/v2/stats")).json()
    published = [await producer.publish(update("prices", tokenId=token)) for _ in range(5)]
    for client in clients:
        await client.expect_updates(*published)
    after = (await http.get("/v2/stats")).json()
    assert after["updates"] >= before["updates"] + 5
    assert after["deliveries"] >= before["deliveries"] + 10


@pytest.mark.parametrize("name", ["gateway", "router", "auth"])
async def test_each_service_is_healthy_ready_and_tells_metrics(name: Any, system: System):
    service = system.running(name)[0]
    async with httpx.AsyncClient(base_url=service.http) as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        metrics = await client.get("/metrics")
    assert ready.status_code == 200
    assert {"kafka": "ok", "redis": "ok"}.items() <= ready.json()["dependencies"].items()
    assert metrics.headers["content-type"].startswith("text/plain")
    assert f"# HELP {name}_" in metrics.text


async def test_metrics_count_what_the_gateway_did(connect: Connect, producer: Producer, system: System):
    gateway = system.gateway
    before = await asyncio.to_thread(gateway.metrics)
    client, token = await connect(), unique("token")
    await client.subscribe("prices", {"tokenIds": [token]})
    await client.expect_updates(await producer.publish(update("prices", tokenId=token)))
    await client.refused("subscribe", channel="weather")
    rises = {
        "gateway_connections_opened_total": 1,
        "gateway_frames_total": 1,
        'gateway_errors_total{code="unknown_channel"}': 1,
        "gateway_updates_total": 1,
        "gateway_authentication_seconds_count": 1,
        "gateway_activation_seconds_count": 1,
        "gateway_delivery_seconds_count": 1,
    }

    risen: dict[str, float] = {}

    async def all_have() -> bool:
        after = await asyncio.to_thread(gateway.metrics)
        risen.update({name: after.get(name, 0) - before.get(name, 0) for name in rises})
        return risen == rises

    with contextlib.suppress(AssertionError):
        await eventually(all_have, "the counts have risen", limit=5)
    assert risen == rises
