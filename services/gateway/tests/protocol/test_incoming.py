"""What a client sends is understood as RFC 6455 says, and what it must not send is refused as soon as it shows."""

from __future__ import annotations

import pytest
from websockets.frames import Opcode

from gateway.protocol.close_codes import CloseCode
from gateway.protocol.incoming import Incoming, PeerClose, Ping, Pong, Text, Violation
from services.gateway.tests.protocol.client_frames import LIMIT, cut, frame, read


def violation(data: bytes) -> Violation:
    """The violation that ends what is read from `data`."""
    found = read(data)[-1]
    assert isinstance(found, Violation), found
    return found


# Whole messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 100_000])
def test_a_message_of_any_size_is_read(size):
    payload = b"x" * size
    assert read(frame(Opcode.TEXT, payload), limit=size) == [Text(payload)]


def test_nothing_is_kept_between_messages():
    incoming = Incoming()
    incoming.receive(frame(Opcode.TEXT, b"one") + frame(Opcode.PING), limit=LIMIT)
    assert incoming.is_idle
    incoming.receive(frame(Opcode.TEXT, b"two")[:3], limit=LIMIT)
    assert not incoming.is_idle


def test_fragments_make_one_message_with_control_frames_between():
    message = "東京".encode()
    data = (
        frame(Opcode.TEXT, message[:2], final=False)
        + frame(Opcode.PING, b"?")
        + frame(Opcode.CONT, b"", final=False)
        + frame(Opcode.PONG, b"!")
        + frame(Opcode.CONT, message[2:])
    )
    assert read(data) == [Ping(b"?"), Pong(b"!"), Text(message)]


def test_empty_fragments_are_not_kept():
    incoming = Incoming()
    incoming.receive(frame(Opcode.TEXT, final=False) + frame(Opcode.CONT, final=False) * 1000, limit=LIMIT)
    assert incoming._fragments == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", 1005), (b"\x03\xe8", 1000), (b"\x03\xf3bye", 1011), (b"\x0b\xb8", 3000), (b"\x13\x87" + b"x" * 123, 4999)],
)
def test_a_close_is_read_and_nothing_after_it(payload, code):
    assert read(frame(Opcode.CLOSE, payload) + frame(Opcode.TEXT, b"late")) == [PeerClose(code, payload)]


def test_a_close_may_come_before_the_end_of_a_message():
    assert read(frame(Opcode.TEXT, b"a", final=False) + frame(Opcode.CLOSE)) == [PeerClose(1005, b"")]


# What is not to be sent ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"\x81\x00", 1002, id="not masked"),
        pytest.param(b"\xc1\x80", 1002, id="first reserved bit"),
        pytest.param(b"\xa1\x80", 1002, id="second reserved bit"),
        pytest.param(b"\x91\x80", 1002, id="third reserved bit"),
        *(
            pytest.param(bytes([0x80 | opcode, 0x80]), 1002, id=f"opcode {opcode}")
            for opcode in (3, 4, 5, 6, 7, 11, 15)
        ),
        pytest.param(b"\x09\x80", 1002, id="a ping in fragments"),
        pytest.param(b"\x89\xfe", 1002, id="a ping of more than 125 bytes"),
        pytest.param(b"\x88\xff", 1002, id="a close of more than 125 bytes"),
        pytest.param(b"\x80\x80", 1002, id="a continuation of nothing"),
        pytest.param(frame(Opcode.TEXT, b"a", final=False) + b"\x81\x80", 1002, id="a message within a message"),
        pytest.param(frame(Opcode.TEXT, b"a") + b"\x80\x80", 1002, id="a continuation of a whole message"),
        pytest.param(frame(Opcode.CLOSE, b"\x03"), 1002, id="half a close code"),
        *(
            pytest.param(frame(Opcode.CLOSE, each.to_bytes(2, "big")), 1002, id=f"close code {each}")
            for each in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
        ),
        pytest.param(frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007, id="a reason that is not UTF-8"),
        pytest.param(frame(Opcode.TEXT, b"\xed\xa0\x80"), 1007, id="a text that is not UTF-8"),
        pytest.param(
            frame(Opcode.TEXT, b"\xe6", final=False) + frame(Opcode.CONT, b"\xff"),
            1007,
            id="fragments that are not UTF-8",
        ),
        pytest.param(b"\x82\x80", 1003, id="binary"),
        pytest.param(b"\x02\x80", 1003, id="a fragment of binary"),
    ],
)
def test_what_is_forbidden_ends_the_connection_as_soon_as_it_shows(data, code):
    assert violation(data).code == code
    assert isinstance(read(*cut(data, range(len(data))))[-1], Violation)


@pytest.mark.parametrize("head", [b"\x81\xfe\x03\xe9", b"\x81\xff" + bytes(6) + b"\x03\xe9", b"\x81\xff" + b"\xff" * 8])
def test_a_message_that_is_too_long_is_refused_at_its_head(head):
    found = violation(head)
    assert (found.code, found.message) == (CloseCode.MESSAGE_TOO_BIG, "a message may have at most 1000 bytes")


def test_fragments_count_together_and_control_frames_do_not():
    begun = frame(Opcode.TEXT, b"x" * 990, final=False)
    ping = frame(Opcode.PING, b"?" * 125)
    assert len(read(begun + ping + frame(Opcode.CONT, b"x" * 10))) == 2
    assert violation(begun + ping + frame(Opcode.CONT, b"x" * 11)[:2]).code == CloseCode.MESSAGE_TOO_BIG


def test_at_most_a_message_and_a_head_are_kept():
    incoming = Incoming()
    for byte in frame(Opcode.TEXT, b"x" * LIMIT)[:-1]:
        assert incoming.receive(bytes([byte]), limit=LIMIT) == []
    assert len(incoming._rest) == LIMIT + 7
