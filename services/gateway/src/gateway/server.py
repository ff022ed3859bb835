"""uvicorn for HTTP, with sockets that come by `gateway.arrivals`, and WebSockets handed over as soon as their request is read."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.datastructures import Headers
from websockets.http11 import Request

from common.health import HttpServer
from gateway.arrivals import Arrivals
from gateway.connections import Connections
from gateway.websocket import WebSocket


class GatewayServer(HttpServer):
    """Serve by `serve(sockets=...)`; end it by `should_exit = True`."""

    arrivals: Arrivals

    def __init__(self, http: Starlette, connections: Connections) -> None:
        super().__init__(
            uvicorn.Config(
                http,
                # uvicorn asks for a class; nobody but `_Http` calls it.
                ws=cast(Any, partial(WebSocket, connections)),
                http=_Http,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        self.arrivals = Arrivals(self._protocol)
        self.arrivals.start(sockets or ())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.arrivals.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return _Http(self.config, self.server_state, self.lifespan.state)


class _Http(HttpToolsProtocol):
    """Hands an upgrade over as it was read; uvicorn would write the request anew, for its WebSockets to read it again."""

    def handle_websocket_upgrade(self) -> None:
        self.connections.discard(self)
        websocket = cast(Any, self.ws_protocol_class)()
        websocket.connection_made(self.transport)
        self.transport.set_protocol(websocket)
        # It refers to this protocol: 2 KB until a collection of garbage finds them.
        self.parser = cast(Any, None)
        headers = Headers([(_text(name), _text(value)) for name, value in self.headers])
        websocket.upgrade(Request(_text(self.url), headers, method=str(self.scope["method"])))


def _text(data: bytes) -> str:
    return data.decode("ascii", "surrogateescape")
