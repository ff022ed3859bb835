"""Any stream of a client's frames, in any pieces, says the same; and the same as to `websockets`' own parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from gateway.protocol.close_codes import CloseCode
from gateway.protocol.incoming import Event, PeerClose, Ping, Pong, Text, Violation
from services.gateway.tests.protocol.client_frames import cut, frame, read
from services.gateway.tests.roles import examples


@dataclass(frozen=True, slots=True)
class Sent:
    """A message or a control frame, and how it is sent."""

    data: bytes
    says: Event


masks = st.binary(min_size=4, max_size=4)
payloads = st.text(max_size=300).map(str.encode)
controls = st.builds(
    lambda ping, payload, mask: Sent(
        frame(Opcode.PING if ping else Opcode.PONG, payload, mask=mask), (Ping if ping else Pong)(payload)
    ),
    st.booleans(),
    st.binary(max_size=125),
    masks,
)


@st.composite
def messages(draw: st.DrawFn) -> list[Sent]:
    """A message in fragments, with control frames between them; the message is complete with the last of the list."""
    payload, mask = draw(payloads), draw(masks)
    parts = cut(payload, draw(st.lists(st.integers(0, 1000), max_size=4)))
    sent: list[Sent] = []
    waiting = b""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        waiting += frame(Opcode.CONT if number else Opcode.TEXT, part, final=last, mask=mask)
        if last:
            return [*sent, Sent(waiting, Text(payload))]
        if draw(st.booleans()):
            control = draw(controls)
            sent.append(Sent(waiting + control.data, control.says))
            waiting = b""
    raise AssertionError


streams = st.lists(st.one_of(messages(), controls.map(lambda each: [each])), max_size=6).map(
    lambda lists: [each for some in lists for each in some]
)
cuts = st.lists(st.integers(0, 100_000), max_size=12)


@examples
@given(streams, cuts)
def test_any_split_of_the_bytes_gives_the_same_messages(stream, at):
    data = b"".join(each.data for each in stream)
    assert read(*cut(data, at), limit=10_000) == [each.says for each in stream]


def oracle(pieces: Sequence[bytes]) -> tuple[list[tuple[Opcode, bytes]], int | None]:
    """The same by `websockets`: messages and control frames, and the code that it closes with."""
    protocol = Protocol(Side.SERVER, state=OPEN, max_size=10_000)
    parts: list[bytes] = []
    seen: list[tuple[Opcode, bytes]] = []
    for piece in pieces:
        protocol.receive_data(piece)
    for each in protocol.events_received():
        assert isinstance(each, Frame)
        if each.opcode in (Opcode.TEXT, Opcode.CONT):
            parts.append(bytes(each.data))
            if each.fin:
                seen.append((Opcode.TEXT, b"".join(parts)))
                parts = []
        else:
            seen.append((each.opcode, bytes(each.data)))
    return seen, protocol.close_sent.code if protocol.close_sent is not None else None


def ours(pieces: Sequence[bytes]) -> tuple[list[tuple[Opcode, bytes]], int | None]:
    opcodes = {Text: Opcode.TEXT, Ping: Opcode.PING, Pong: Opcode.PONG, PeerClose: Opcode.CLOSE}
    events = read(*pieces, limit=10_000)
    seen = [(opcodes[type(each)], each.payload) for each in events if not isinstance(each, Violation)]
    last = events[-1] if events else None
    return seen, last.code if isinstance(last, Violation | PeerClose) else None


wild_frames = st.builds(
    frame,
    st.sampled_from([*Opcode, 3, 11]).filter(lambda opcode: opcode != Opcode.BINARY),
    st.one_of(st.binary(max_size=140), st.text(max_size=50).map(str.encode)),
    final=st.booleans(),
    mask=masks,
)
"""Any sequence of frames, most of which breaks a rule sooner or later. What is not JSON text is ours alone to refuse."""


@examples
@given(st.lists(wild_frames, max_size=6), cuts)
@example([frame(Opcode.CLOSE, b"\x03\xe8bye"), frame(Opcode.TEXT, b"late")], [])
@example([frame(Opcode.PING, b"x" * 126)], [1])
def test_any_frames_mean_what_they_mean_to_websockets(frames, at):
    pieces = cut(b"".join(frames), at)
    seen, code = ours(pieces)
    expected, expected_code = oracle(pieces)
    if code == CloseCode.INVALID_DATA and seen != expected:
        # Texts are checked by the caller there.
        assert seen == expected[: len(seen)]
        assert _is_no_text(expected[len(seen)])
        return
    if _closed_within_a_message(seen, expected_code):
        return
    assert (seen, code) == (expected, expected_code)


def _is_no_text(message: tuple[Opcode, bytes]) -> bool:
    try:
        message[1].decode()
    except UnicodeDecodeError:
        return message[0] is Opcode.TEXT
    return False


def _closed_within_a_message(seen: list[tuple[Opcode, bytes]], expected_code: int | None) -> bool:
    """`websockets` takes offence at it; RFC 6455 has no such rule."""
    return bool(seen) and seen[-1][0] is Opcode.CLOSE and expected_code == CloseCode.PROTOCOL_ERROR
