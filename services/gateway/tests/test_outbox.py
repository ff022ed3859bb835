"""The outbox keeps frames in order, and says when more wait than may."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.outbox import CHUNK_BYTES, Entity, Outbox
from gateway.protocol.frames import text_frame
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


# Conflation ----------------------------------------------------------------------------------------------------------


def entities(*frames: tuple[bytes, Entity]) -> dict[int, Entity]:
    return {id(frame): entity for frame, entity in frames}


def messages(data: bytes) -> list[dict[str, Any]]:
    """Frames of JSON up to 125 bytes long, or a little over, taken apart."""
    found = []
    while data:
        size, head = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4], "big"), 4)
        found.append(json.loads(data[head : head + size]))
        data = data[head + size :]
    return found


def price(offset: int, key: bytes = b"btc", *, partition: int = 0) -> tuple[bytes, Entity]:
    frame = text_frame(json.dumps({"id": f"{partition}:{offset}", "key": key.decode()}).encode())
    return frame, Entity("prices", partition, key, offset)


def test_a_newer_update_of_an_entity_takes_the_place_of_one_that_waits_and_that_is_said():
    outbox, sent = Outbox(1000), [price(1), price(2, b"eth"), price(3), price(4)]
    for each in sent:
        outbox.extend([each[0]], entities(each))
    first, *updates = messages(outbox.take())
    assert first == {"type": "conflated", "channel": "prices", "n": 2, "from": "0:1", "to": "0:3"}
    assert [each["id"] for each in updates] == ["0:2", "0:4"]


def test_what_is_not_of_an_entity_is_never_conflated():
    outbox, frame = Outbox(1000), text_frame(b'{"id":"0:1"}')
    outbox.extend([frame, frame], {})
    assert messages(outbox.take()) == [{"id": "0:1"}, {"id": "0:1"}]


def test_a_channels_entities_are_not_another_ones():
    outbox, one = Outbox(1000), price(1)
    other = (text_frame(b'{"id":"tvl"}'), Entity("tvl", 0, b"btc", 2))
    outbox.extend([one[0], other[0]], entities(one, other))
    assert [each["id"] for each in messages(outbox.take())] == ["0:1", "tvl"]


def test_conflation_keeps_a_slow_reader_within_its_limit():
    outbox = Outbox(1000)
    for offset in range(10_000):
        each = price(offset)
        assert outbox.extend([each[0]], entities(each))
    said, last = messages(outbox.take())
    assert (said["n"], last["id"]) == (9_999, "0:9999")


def test_what_may_wait_for_a_replay_goes_as_it_is_taken():
    outbox = Outbox(CHUNK_BYTES)
    outbox.allow(3 * CHUNK_BYTES)
    assert outbox.extend([b"x" * CHUNK_BYTES] * 3, {})
    outbox.take()
    assert outbox.extend([b"x"], {})
    outbox.take()
    outbox.take()
    outbox.take()
    assert outbox.size == 0
    assert not outbox.extend([b"x" * (CHUNK_BYTES + 1)], {})


@examples
@given(
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 1), st.sampled_from([b"btc", b"eth", b"xmr"]))), max_size=60)
)
def test_counts_add_up_and_offsets_of_a_partition_leave_in_their_order(steps):
    outbox, next_offset, out, sent = Outbox(10**9), [0, 0], [], []
    for step in [*steps, None]:
        if step is None:
            out += messages(outbox.take())
            continue
        partition, key = step
        each = price(next_offset[partition], key, partition=partition)
        next_offset[partition] += 1
        sent.append((f"{partition}:{each[1].offset}", key.decode()))
        outbox.extend([each[0]], entities(each))
    updates = [each for each in out if "id" in each]
    assert len(updates) + sum(each["n"] for each in out if "n" in each) == len(sent)
    assert {(each["id"].split(":")[0], each["key"]): each["id"] for each in updates} == {
        (name.split(":")[0], key): name for name, key in sent
    }
    for partition in ("0", "1"):
        offsets = [int(each["id"].split(":")[1]) for each in updates if each["id"].startswith(partition)]
        assert offsets == sorted(set(offsets))
