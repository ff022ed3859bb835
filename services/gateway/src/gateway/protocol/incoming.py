"""What a client sends on an open WebSocket: bytes in, messages out (RFC 6455, sections 5 to 7). Pure.

An own parser and not `websockets`', because that keeps 900 bytes a connection between messages; this keeps nothing. `tests/protocol`
holds it to the other one.
"""

from __future__ import annotations

from dataclasses import dataclass

from websockets.frames import EXTERNAL_CLOSE_CODES, Opcode
from websockets.utils import apply_mask

from gateway.protocol.close_codes import CloseCode

_FINAL, _MASKED, _RESERVED, _CONTROL = 0x80, 0x80, 0x70, 0x08
_MASK_BYTES = 4
_MAX_CONTROL_BYTES = 125
_KNOWN = frozenset(Opcode)


@dataclass(frozen=True, slots=True)
class Text:
    """A whole message, valid UTF-8."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    payload: bytes


@dataclass(frozen=True, slots=True)
class PeerClose:
    """Nothing counts that comes after it."""

    code: int
    payload: bytes
    """What an answer echoes."""


class Violation(Exception):
    """What the peer must not send. Its connection is over: nothing after it can be understood."""

    def __init__(self, code: CloseCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


Event = Text | Ping | Pong | PeerClose | Violation


class Incoming:
    """Frames of one client. As long as it `is_idle` there is nothing to remember, and a new one does as well."""

    __slots__ = ("_fragments", "_rest", "_size")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._fragments: list[bytes] | None = None
        self._size = 0

    @property
    def is_idle(self) -> bool:
        """Whether what came so far are whole messages."""
        return not self._rest and self._fragments is None

    def receive(self, data: bytes, *, limit: int) -> list[Event]:
        """The events of these bytes, in order; a `PeerClose` or `Violation` is the last one there ever is.

        A message of more than `limit` bytes is a violation as soon as its size is known: no more than `limit` bytes and a head are kept.
        """
        events: list[Event] = []
        try:
            self._read(data, limit, events)
        except Violation as violation:
            events.append(violation)
        return events

    def _read(self, data: bytes, limit: int, events: list[Event]) -> None:
        if self._rest:
            self._rest += data
            if self._end(self._rest, 0, limit) is None:
                return
            data = bytes(self._rest)
        at = 0
        while (end := self._end(data, at, limit)) is not None:
            event = self._take(data[at], _payload(data, at, end))
            at = end
            if event is not None:
                events.append(event)
            if isinstance(event, PeerClose):
                return
        self._rest = bytearray(data[at:])

    def _end(self, data: bytes | bytearray, at: int, limit: int) -> int | None:
        """Where the frame ends that begins at `at`; `None` as long as it is not whole. Raises `Violation` as early as can be."""
        if len(data) < at + 2:
            return None
        first, second = data[at], data[at + 1]
        self._check_head(first, second)
        start, size = at + 2, second & 0x7F
        if size > _MAX_CONTROL_BYTES:
            width = 2 if size == 126 else 8
            start += width
            if len(data) < start:
                return None
            size = int.from_bytes(data[at + 2 : start], "big")
        if not first & _CONTROL and self._size + size > limit:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"a message may have at most {limit} bytes")
        end = start + _MASK_BYTES + size
        return end if len(data) >= end else None

    def _check_head(self, first: int, second: int) -> None:
        opcode, begun = first & 0x0F, self._fragments is not None
        if first & _RESERVED:
            raise _forbidden("reserved bits must be 0")
        if opcode not in _KNOWN:
            raise _forbidden(f"there is no opcode {opcode}")
        if not second & _MASKED:
            raise _forbidden("a client's frames must be masked")
        if opcode & _CONTROL:
            if not first & _FINAL or second & 0x7F > _MAX_CONTROL_BYTES:
                raise _forbidden("a control frame has one part, of at most 125 bytes")
        elif begun != (opcode == Opcode.CONT):
            raise _forbidden("a message was not finished" if begun else "there is no message to continue")
        elif opcode == Opcode.BINARY:
            raise Violation(CloseCode.UNSUPPORTED_DATA, "binary frames are not understood; send JSON text")

    def _take(self, first: int, payload: bytes) -> Event | None:
        match first & 0x0F:
            case Opcode.PING:
                return Ping(payload)
            case Opcode.PONG:
                return Pong(payload)
            case Opcode.CLOSE:
                return PeerClose(_close_code(payload), payload)
            case _:
                return self._fragment(payload, final=bool(first & _FINAL))

    def _fragment(self, payload: bytes, *, final: bool) -> Text | None:
        if not final:
            self._fragments = self._fragments or []
            self._size += len(payload)
            # Empty fragments count towards no limit of size: they must not be kept.
            if payload:
                self._fragments.append(payload)
            return None
        whole = payload if self._fragments is None else b"".join((*self._fragments, payload))
        self._fragments, self._size = None, 0
        _check_utf_8(whole, "a text message")
        return Text(whole)


def _payload(data: bytes, at: int, end: int) -> bytes:
    """What a whole frame carries, unmasked."""
    size = data[at + 1] & 0x7F
    start = at + 2 + (0 if size < 126 else 2 if size == 126 else 8) + _MASK_BYTES
    return apply_mask(data[start:end], data[start - _MASK_BYTES : start])


def _close_code(payload: bytes) -> int:
    if not payload:
        return CloseCode.NO_STATUS
    _check_utf_8(payload[2:], "the reason of a close")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or (code not in EXTERNAL_CLOSE_CODES and not 3000 <= code < 5000):
        raise _forbidden("a close must have a code that may be sent")
    return code


def _check_utf_8(text: bytes, what: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise Violation(CloseCode.INVALID_DATA, f"{what} must be UTF-8") from None


def _forbidden(message: str) -> Violation:
    return Violation(CloseCode.PROTOCOL_ERROR, message)
