"""The gateway's HTTP on its own port: broadcast with a key, stats, health; and what goes wrong, with its status."""

import asyncio
import json
from typing import Any

import pytest

from common.events import Decision
from gateway.broadcasts import MAX_BODY_BYTES
from services.gateway.tests.running import KEY, Running

PRICE = {"type": "price_update", "tokenId": "btc", "value": 1}


async def request(
    gateway: Running, method: str, path: str, *, key: str | None = None, body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer."""
    reader, writer = await asyncio.open_connection(*gateway.http.removeprefix("http://").split(":"))
    authorization = f"x-api-key: {key}\r\n" if key else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{authorization}Content-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    status, _, rest = answer.partition(b"\r\n")
    content = rest.partition(b"\r\n\r\n")[2]
    return int(status.split()[1]), json.loads(content) if content.startswith(b"{") else {}


async def broadcast(gateway: Running, body: object, key: str | None = KEY) -> tuple[int, dict[str, Any]]:
    return await request(gateway, "POST", "/v2/broadcast", key=key, body=json.dumps(body).encode())


async def test_an_update_is_accepted_when_kafka_has_it(gateway):
    status, answer = await broadcast(gateway, PRICE)
    assert (status, answer) == (202, {"accepted": [{"topic": "updates.prices", "partition": 0, "offset": 0}]})
    (record,) = gateway.producer.on("updates.prices")
    assert (record.key, record.json) == (b"btc", PRICE)


async def test_a_list_with_a_wrong_item_writes_nothing_and_names_it(gateway):
    status, answer = await broadcast(gateway, [PRICE, {**PRICE, "value": "1"}])
    assert (status, answer["error"]["code"], answer["error"]["field"]) == (400, "bad_request", "[1].value")
    assert gateway.producer.on("updates.prices") == []


@pytest.mark.parametrize(
    ("key", "decision", "status", "code"),
    [
        (None, None, 401, "api_key_required"),
        ("unknown", None, 401, "invalid_api_key"),
        ("reader", Decision(allowed=True, permissions=frozenset({"channel:*"})), 403, "permission_denied"),
        ("anyone", Decision(allowed=False, retryable=True, reason="away"), 503, "unavailable"),
    ],
)
async def test_a_key_with_broadcast_is_needed(gateway, key, decision, status, code):
    if decision is not None:
        gateway.decisions[key] = decision
    found, answer = await broadcast(gateway, PRICE, key)
    assert (found, answer["error"]["code"]) == (status, code)
    assert gateway.producer.on("updates.prices") == []


async def test_a_body_that_is_too_long_is_413(gateway):
    status, answer = await request(gateway, "POST", "/v2/broadcast", key=KEY, body=b" " * (MAX_BODY_BYTES + 1))
    assert (status, answer["error"]["code"]) == (413, "bad_request")


async def test_stats_tell_of_this_gateway(gateway):
    client = await gateway.connect()
    await client.subscribe("prices")
    await gateway.connect(None)
    status, stats = await request(gateway, "GET", "/v2/stats")
    assert status == 200
    assert (stats["connections"], stats["authenticated"], stats["rooms"]) == (2, 1, 1)
    assert stats["subscriptions"]["prices"] == 1


async def test_health_is_not_readiness(gateway):
    assert (await request(gateway, "GET", "/healthz"))[0] == 200
    status, answer = await request(gateway, "GET", "/readyz")
    assert (status, answer["dependencies"]["slot"]) == (503, "not reached yet")
    for name in ("kafka", "redis", "revocations", "slot"):
        gateway.app.readiness.available(name)
    assert (await request(gateway, "GET", "/readyz"))[0] == 200


async def test_metrics_are_served(gateway):
    assert (await request(gateway, "GET", "/metrics"))[0] == 200


async def test_the_websocket_path_without_an_upgrade_is_426(gateway):
    assert (await request(gateway, "GET", "/v2/realtime"))[0] == 426
