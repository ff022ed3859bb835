"""The opening handshake: a request that HTTP has read in, an answer out. Pure; what may be a handshake at all is `websockets`' to say."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway.handshake import Handshake, Networks, read_handshake

_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Answer:
    response: bytes
    handshake: Handshake | None
    """`None` where it was refused: nothing may follow the response."""


class Openings:
    """Answers every handshake of a gateway: `path` is the only one that is served."""

    def __init__(self, path: str, *, trusted: Networks) -> None:
        self._path = path
        self._trusted = trusted
        # Its answers depend on the request alone. One for each handshake would cost more than the handshake.
        self._protocol = ServerProtocol(logger=logging.getLogger("websockets.server"))

    def answer(self, request: Request, peer: str) -> Answer:
        """`peer` is the socket's address."""
        handshake = read_handshake(request, peer, trusted=self._trusted)
        if handshake.path != self._path:
            missing = self._protocol.reject(404, f"WebSockets are at {self._path}\n")
            return Answer(missing.serialize(), None)
        try:
            accept, _extensions, _subprotocol = self._protocol.process_request(request)
        except Exception:  # noqa: BLE001 - whatever it is, `accept` comes to it as well, and says what is wrong
            refusal = self._protocol.accept(request)
            self._protocol.handshake_exc = None
            return Answer(refusal.serialize(), None)
        # `accept` takes as long again to put the same together, with a date, which such a response need not have.
        return Answer(_SWITCHING % accept.encode(), handshake)
