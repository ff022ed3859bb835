"""The outbox keeps frames in order, and says when more wait than may."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import CHUNK_BYTES, Outbox
from services.gateway.tests.roles import examples


def test_frames_come_out_joined_in_their_order():
    outbox = Outbox(100)
    assert outbox.extend([b"a", b"b"], {})
    assert outbox.extend([b"c"], {})
    assert (len(outbox), outbox.size) == (3, 3)
    assert outbox.take() == b"abc"
    assert outbox.take() == b""
    assert (len(outbox), outbox.size) == (0, 0)


def test_up_to_the_limit_may_wait_and_no_byte_more():
    outbox = Outbox(10)
    assert outbox.extend([b"x" * 10], {})
    assert not outbox.extend([b"x"], {})


def test_what_is_taken_makes_room():
    outbox = Outbox(10)
    outbox.extend([b"x" * 10], {})
    outbox.take()
    assert outbox.extend([b"x" * 10], {})


def test_a_chunk_ends_with_the_frame_that_fills_it():
    outbox = Outbox(10 * CHUNK_BYTES)
    frame = b"x" * (CHUNK_BYTES // 2 + 1)
    outbox.extend([frame] * 3, {})
    assert len(outbox.take()) == 2 * len(frame)
    assert len(outbox.take()) == len(frame)


@examples
@given(st.lists(st.one_of(st.none(), st.lists(st.binary(min_size=1, max_size=20_000), max_size=5)), max_size=30))
def test_every_byte_comes_out_once_in_order(steps):
    outbox, put, taken = Outbox(10**9), b"", b""
    for frames in steps:
        if frames is None:
            taken += outbox.take()
        else:
            outbox.extend(frames, {})
            put += b"".join(frames)
        assert outbox.size == len(put) - len(taken)
    while outbox:
        taken += outbox.take()
    assert taken == put
