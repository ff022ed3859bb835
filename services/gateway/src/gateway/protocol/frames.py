"""Unmasked server frames as bytes (RFC 6455, section 5.2). Built once, written to many sockets."""

from __future__ import annotations

from struct import Struct

PING = b"\x89\x00"
_TEXT = 0x81
_SHORT = Struct("!BB").pack
_MEDIUM = Struct("!BBH").pack
_LONG = Struct("!BBQ").pack


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return _SHORT(_TEXT, size) + payload
    if size < 65536:
        return _MEDIUM(_TEXT, 126, size) + payload
    return _LONG(_TEXT, 127, size) + payload
