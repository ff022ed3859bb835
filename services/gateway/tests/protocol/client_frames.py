"""Frames as a client sends them, whole or cut to pieces, and what the gateway reads from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gateway.protocol.incoming import Event, Incoming, PeerClose, Violation

LIMIT = 1000


def frame(opcode: int, payload: bytes = b"", *, final: bool = True, mask: bytes = b"\x07\x5a\x00\xff") -> bytes:
    first, size = (0x80 if final else 0) | opcode, len(payload)
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    if size < 126:
        return bytes([first, 0x80 | size]) + mask + masked
    if size < 65536:
        return bytes([first, 0xFE]) + size.to_bytes(2, "big") + mask + masked
    return bytes([first, 0xFF]) + size.to_bytes(8, "big") + mask + masked


def read(*pieces: bytes, limit: int = LIMIT) -> list[Event]:
    """What the pieces say. As in a connection, the reader is kept only while something is unfinished."""
    events: list[Event] = []
    incoming = Incoming()
    for piece in pieces:
        events += incoming.receive(piece, limit=limit)
        if events and isinstance(events[-1], PeerClose | Violation):
            break
        incoming = Incoming() if incoming.is_idle else incoming
    return events


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """The bytes in pieces, cut at these places."""
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[start:end] for start, end in pairwise(places)]
