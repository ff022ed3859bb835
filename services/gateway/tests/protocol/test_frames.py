"""Frames are what RFC 6455 says, at every size where their head changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from gateway.protocol.frames import PING, text_frame
from services.gateway.tests.roles import examples


def parsed(data: bytes) -> list[tuple[Opcode, bytes, bool]]:
    """The frames as a client reads them."""
    client = ClientProtocol(parse_uri("ws://host/"), state=OPEN, max_size=None)
    client.receive_data(data)
    assert client.parser_exc is None
    return [
        (event.opcode, bytes(event.data), event.fin) for event in client.events_received() if isinstance(event, Frame)
    ]


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, 2), (1, 2), (125, 2), (126, 4), (127, 4), (65535, 4), (65536, 10), (65537, 10), (262_144, 10)],
)
def test_a_text_frame_of_any_size_reads_back(size, head):
    frame = text_frame(b"x" * size)
    assert len(frame) == head + size
    assert parsed(frame) == [(Opcode.TEXT, b"x" * size, True)]


@examples
@given(st.lists(st.text(max_size=200), max_size=5))
def test_frames_joined_read_back_one_by_one(texts):
    data = b"".join(text_frame(text.encode()) for text in texts)
    assert parsed(data) == [(Opcode.TEXT, text.encode(), True) for text in texts]


def test_a_ping_is_empty():
    assert parsed(PING) == [(Opcode.PING, b"", True)]
