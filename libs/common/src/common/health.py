"""`/healthz`, `/readyz` and `/metrics`: whether the process lives, whether it can serve, and its figures."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.errors import StartupError

HEALTHZ, READYZ, METRICS = "/healthz", "/readyz", "/metrics"
_REQUESTS = tuple(f"GET {path}".encode() for path in (HEALTHZ, READYZ, METRICS))


class Readiness:
    """What each dependency lacks at present. A service is ready when none lacks anything."""

    def __init__(self, *dependencies: str) -> None:
        self._problems: dict[str, str | None] = dict.fromkeys(dependencies, "not reached yet")

    def available(self, dependency: str) -> None:
        self._problems[dependency] = None

    def missing(self, dependency: str, reason: str) -> None:
        self._problems[dependency] = reason

    @property
    def ready(self) -> bool:
        return not any(self._problems.values())

    def lacks(self, dependency: str) -> bool:
        return self._problems[dependency] is not None

    def to_json(self) -> dict[str, str]:
        """`{"kafka": "ok", "redis": "Connection refused"}`"""
        return {name: problem or "ok" for name, problem in self._problems.items()}


def health_routes(readiness: Readiness, *, sample: Callable[[], None] | None = None) -> list[Route]:
    """`sample` brings metrics up to date that a hot path does not move itself; called before each answer of `/metrics`."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        status = "ready" if readiness.ready else "not ready"
        return JSONResponse(
            {"status": status, "dependencies": readiness.to_json()}, status_code=200 if readiness.ready else 503
        )

    async def metrics(_request: Request) -> Response:
        if sample is not None:
            sample()
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return [Route(HEALTHZ, healthz), Route(READYZ, readyz), Route(METRICS, metrics)]


def asks_for_health(request: bytes) -> bool:
    """Whether a request, of which 16 bytes are enough, is one for these routes."""
    return request.startswith(_REQUESTS)


class HttpServer(uvicorn.Server):
    """uvicorn that leaves signals to `common.lifecycle`. End it by `should_exit = True`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int, *, variable: str, backlog: int = 2048, shared: bool = False) -> socket.socket:
    """A listening socket. Raises `StartupError` naming the variable when the port is taken.

    `shared`: other processes of ours that say so too may have the same port, and the kernel spreads connections over them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartupError(f"{variable}: cannot listen on {host}:{port}: {error.strerror}") from error
    listener.listen(backlog)
    listener.setblocking(False)
    return listener


async def serve_health(readiness: Readiness, listener: socket.socket) -> None:
    """Serve the three routes until cancelled. For services whose work is not HTTP."""
    app = Starlette(routes=health_routes(readiness))
    server = HttpServer(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    await server.serve(sockets=[listener])
