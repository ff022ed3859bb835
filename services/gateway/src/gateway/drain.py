"""Draining: every connection is told, then closed in jittered slices, so that those who reconnect do not come all at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress

from common.clock import Clock
from common.logs import get_logger
from gateway.connections import Connections
from gateway.protocol import replies
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.replies import Notice
from gateway.websocket import WebSocket

log = get_logger("drain")

SLICE_SECONDS = 0.05
CLOSES_PER_SECOND = 2000
_CLOSING_SHARE = 0.7
"""Share of the time in which closes are begun; the rest is for the last handshakes."""
_ABORT_SECONDS = 1.0
_jitter = random.Random()  # noqa: S311 - jitter, no secret


def spread(connections: int, limit: float) -> float:
    """Seconds over which closes are begun: a small gateway is done at once, a full one takes most of the time it has."""
    return min(limit * _CLOSING_SHARE, connections / CLOSES_PER_SECOND)


async def drain(connections: Connections, clock: Clock, *, limit: float) -> None:
    """Returns when no connection is open, `limit` seconds from now at the latest; those still open then are aborted."""
    connections.draining = True
    closing = list(connections.all())
    log.info("draining", connections=len(closing), limit_seconds=limit)
    seconds = spread(len(closing), limit)
    delays = {connection: _jitter.uniform(0.1, 1.0 + seconds) for connection in closing}
    for connection in closing:
        _tell(connection, seconds, delays[connection])
    await _close(delays, clock, seconds)
    await _emptied(connections, limit - seconds)
    for connection in connections.all():
        connection.abort()
    await _emptied(connections, _ABORT_SECONDS)


async def _emptied(connections: Connections, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await connections.empty.wait()


def _tell(connection: WebSocket, seconds: float, delay: float) -> None:
    """`delay`: how long the client had best wait before it connects again, in seconds."""
    text = f"this gateway is draining; it closes this connection within {seconds:.0f} s"
    connection.push(replies.notice(Notice.DRAINING, text, retry_after=delay))


async def _close(delays: Mapping[WebSocket, float], clock: Clock, seconds: float) -> None:
    closing = list(delays)
    _jitter.shuffle(closing)
    slices = max(1, round(seconds / SLICE_SECONDS))
    size = -(-len(closing) // slices)
    for start in range(0, len(closing), max(1, size)):
        now = clock.monotonic()
        for connection in closing[start : start + size]:
            reason = f"draining, reconnect after {delays[connection] * 1000:.0f} ms"
            connection.carry_out(connection.session.close(CloseCode.DRAINING, reason, now=now))
        await asyncio.sleep(SLICE_SECONDS * _jitter.uniform(0.5, 1.5) if start + size < len(closing) else 0)
