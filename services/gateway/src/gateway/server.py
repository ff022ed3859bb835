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

from common.health import HttpServer, asks_for_health
from gateway.arrivals import Arrivals
from gateway.connections import Connections
from gateway.turns import Turns
from gateway.websocket import WebSocket

_MET_A_TURN = 5
"""Sockets whose first request is read. Those let in may have been silent until then, and may all speak at once."""


class GatewayServer(HttpServer):
    """Serve by `serve(sockets=...)`; end it by `should_exit = True`."""

    arrivals: Arrivals
    _meeting: Turns[tuple[_Http, bytes]]

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
        self._meeting = Turns(_MET_A_TURN, _meet)
        self.arrivals = Arrivals(self._protocol)
        self.arrivals.start(sockets or ())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.arrivals.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return _Http(self._meeting, self.config, self.server_state, self.lifespan.state)


class _Http(HttpToolsProtocol):
    """Hands an upgrade over as it was read; uvicorn would write the request anew, for its WebSockets to read it again."""

    def __init__(self, meeting: Turns[tuple[_Http, bytes]], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._meeting = meeting
        self._is_met = False

    def data_received(self, data: bytes) -> None:
        if self._is_met:
            super().data_received(data)
            return
        self._is_met = True
        # Nothing else comes, not even the end, before this has had its turn.
        self.transport.pause_reading()
        self._meeting.put((self, data), first=asks_for_health(data))

    def handle_websocket_upgrade(self) -> None:
        self.connections.discard(self)
        websocket = cast(Any, self.ws_protocol_class)()
        websocket.connection_made(self.transport)
        self.transport.set_protocol(websocket)
        # It refers to this protocol: 2 KB until a collection of garbage finds them.
        self.parser = cast(Any, None)
        headers = Headers([(_text(name), _text(value)) for name, value in self.headers])
        websocket.upgrade(Request(_text(self.url), headers, method=str(self.scope["method"])))


def _meet(who: tuple[_Http, bytes]) -> None:
    protocol, data = who
    if not protocol.transport.is_closing():
        protocol.transport.resume_reading()
        protocol.data_received(data)


def _text(data: bytes) -> str:
    return data.decode("ascii", "surrogateescape")
