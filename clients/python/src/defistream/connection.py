"""One WebSocket, from opening to close. Foreign errors become ours here, and only here."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as tls
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from defistream.close_codes import CloseCode
from defistream.errors import ConnectionFailed

OPEN_TIMEOUT = 10.0
"""Seconds for TCP, TLS and the WebSocket handshake together."""

CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the other side's close frame."""

MAX_FRAME = 4 * 1024 * 1024
"""Bytes. An update has at most 256 KiB; operator broadcasts may be larger."""

_PASSING_STATUS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended."""

    code: int
    reason: str


class Connection:
    """An open WebSocket. Pings of the server are answered by the library while frames are being read."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def receive(self, silence_limit: float) -> str | bytes | Closed:
        """The next frame, or how the connection ended; `silence_limit` seconds without a frame end it too. Safe to cancel."""
        try:
            async with asyncio.timeout(silence_limit):
                return await self._websocket.recv()
        except TimeoutError:
            return Closed(CloseCode.ABNORMAL, f"nothing was heard for {silence_limit:g} s")
        except WebSocketClosed as closed:
            frame = closed.rcvd or closed.sent
            return Closed(frame.code, frame.reason) if frame else Closed(CloseCode.ABNORMAL, "the connection was lost")

    async def send(self, text: str) -> None:
        """Waits while the socket is full. On a closed connection nothing happens: `receive` says how it ended."""
        with contextlib.suppress(WebSocketClosed):
            await self._websocket.send(text)


class NotConnected(Exception):
    """Opening failed; `retryable` says whether the next attempt may do better."""

    def __init__(self, error: ConnectionFailed, *, retryable: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.retryable = retryable


@contextlib.asynccontextmanager
async def open_connection(url: str, ssl: tls.SSLContext | None) -> AsyncIterator[Connection]:
    """A connection that is closed at the end of the block, also when that is cancelled. Raises `NotConnected`."""
    websocket = await _open(url, ssl)
    async with websocket:
        yield Connection(websocket)


async def _open(url: str, ssl: tls.SSLContext | None) -> ClientConnection:
    # The server's heartbeats show that it lives, so this side sends no pings: their pongs would not be seen while the
    # application is slow and nothing is read.
    try:
        return await connect(
            url,
            ssl=ssl,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_FRAME,
        )
    except InvalidStatus as refused:
        status = refused.response.status_code
        raise _failure(url, f"HTTP status {status}", retryable=status >= 500 or status in _PASSING_STATUS) from refused
    except (InvalidURI, tls.SSLCertVerificationError) as wrong:
        raise _failure(url, str(wrong), retryable=False) from wrong
    except (InvalidHandshake, WebSocketClosed, OSError, EOFError) as failed:
        # `WebSocketClosed`: it was lost between TCP's and the WebSocket's handshake.
        raise _failure(url, str(failed) or type(failed).__name__, retryable=True) from failed


def _failure(url: str, reason: str, *, retryable: bool) -> NotConnected:
    return NotConnected(ConnectionFailed(url, reason), retryable=retryable)
