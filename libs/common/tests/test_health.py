"""Health routes tell whether the process lives, and which dependency it lacks."""

import socket

import httpx
import pytest
from starlette.applications import Starlette

from common.errors import StartupError
from common.health import Readiness, health_routes, listen


@pytest.fixture
def readiness():
    return Readiness("kafka", "redis")


@pytest.fixture
async def http(readiness):
    app = httpx.ASGITransport(Starlette(routes=health_routes(readiness)))
    async with httpx.AsyncClient(transport=app, base_url="http://service") as client:
        yield client


async def test_a_process_lives_before_it_is_ready(http):
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).status_code == 503


async def test_readiness_names_what_is_missing(http, readiness):
    readiness.available("kafka")
    readiness.missing("redis", "Connection refused")
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "dependencies": {"kafka": "ok", "redis": "Connection refused"}}


async def test_a_service_is_ready_when_nothing_is_missing(http, readiness):
    readiness.available("kafka")
    readiness.available("redis")
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"


async def test_metrics_are_brought_up_to_date_before_they_are_told(readiness):
    sampled = []
    app = httpx.ASGITransport(Starlette(routes=health_routes(readiness, sample=lambda: sampled.append(True))))
    async with httpx.AsyncClient(transport=app, base_url="http://service") as client:
        await client.get("/metrics")
    assert sampled == [True]


async def test_metrics_are_in_the_format_of_prometheus(http):
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE python_info gauge" in answer.text


def test_a_taken_port_stops_the_start_and_names_its_variable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^GATEWAY_PORT: cannot listen on 127.0.0.1:{port}: "):
            listen("127.0.0.1", port, variable="GATEWAY_PORT")


def test_port_0_is_a_free_one():
    with listen("127.0.0.1", 0, variable="GATEWAY_PORT") as listener:
        assert listener.getsockname()[1] > 0
