"""Unmasked server frames as bytes (RFC 6455, section 5.2). Update frames are built once, written to many sockets."""

from __future__ import annotations

from struct import Struct

PING = b"\x89\x00"
_TEXT, _CLOSE, _PONG = 0x81, 0x88, 0x8A
_MAX_REASON_BYTES = 123
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


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping with this payload, of at most 125 bytes."""
    return _SHORT(_PONG, len(payload)) + payload


def close_frame(payload: bytes) -> bytes:
    """`payload` as `close_payload` makes it, or as the peer's own close had it."""
    return _SHORT(_CLOSE, len(payload)) + payload


def close_payload(code: int, reason: str) -> bytes:
    """A reason that is too long is cut: there is room for 123 bytes (RFC 6455, section 5.5.1)."""
    cut = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
    return code.to_bytes(2, "big") + cut.encode()
