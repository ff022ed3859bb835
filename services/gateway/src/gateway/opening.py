"""The opening handshake of one socket, by the sans-IO core of `websockets`: bytes in, an answer out.

Kept only until it is answered: it holds both sides' headers, and is a reference cycle.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway.handshake import Handshake, Networks, read_handshake

_LOGGER = logging.getLogger("websockets.server")


@dataclass(frozen=True, slots=True)
class Answer:
    response: bytes
    """Empty where the request cannot even be refused in HTTP."""
    handshake: Handshake | None
    """`None` where it was refused: nothing may follow the response."""


class Opening:
    """`path` is the only one that is served; `peer` is the socket's address."""

    def __init__(self, path: str, peer: str, *, trusted: Networks) -> None:
        self._path = path
        self._peer = peer
        self._trusted = trusted
        self._protocol = ServerProtocol(logger=_LOGGER)

    def receive(self, data: bytes) -> Answer | None:
        """The answer, once the request is whole."""
        self._protocol.receive_data(data)
        handshake = None
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                handshake = self._answer(event)
        said = self._protocol.data_to_send()
        return Answer(b"".join(said), handshake) if said else None

    def end(self) -> None:
        """Let go of everything. Without this each handshake would wait for the garbage collector."""
        self._protocol.parser.close()

    def _answer(self, request: Request) -> Handshake | None:
        protocol = self._protocol
        handshake = read_handshake(request, self._peer, trusted=self._trusted)
        if handshake.path != self._path:
            protocol.send_response(protocol.reject(404, f"WebSockets are at {self._path}\n"))
            return None
        response = protocol.accept(request)
        protocol.send_response(response)
        return handshake if response.status_code == 101 else None
