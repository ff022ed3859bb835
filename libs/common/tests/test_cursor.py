"""Cursors come back as they were given, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cursor import Cursor, cursor_text, parse_cursor
from common.errors import InvalidCursor

EPOCHS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789"), min_size=1, max_size=16)
OFFSETS = st.dictionaries(st.integers(0, 4095), st.integers(0, 2**63 - 1), max_size=64)


@given(EPOCHS, OFFSETS)
def test_a_cursor_comes_back_as_it_was(epoch, offsets):
    cursor = Cursor(epoch, offsets)
    assert parse_cursor(str(cursor)) == cursor


@given(EPOCHS, st.dictionaries(st.integers(0, 63), st.integers(-1, 2**40), max_size=8))
def test_a_partition_of_which_nothing_was_had_is_not_named(epoch, positions):
    cursor = parse_cursor(cursor_text(epoch, positions))
    assert cursor.offsets == {partition: offset for partition, offset in positions.items() if offset >= 0}


def test_the_form_is_the_documented_one():
    assert str(Cursor("k3f9", {3: 18231, 0: 123})) == "k3f9.0:123,3:18231"
    assert str(Cursor("k3f9")) == "k3f9."


@pytest.mark.parametrize(
    "text",
    [
        None, 7, [], "", "k3f9", ".0:1", "K3F9.0:1", "k3f9.0", "k3f9.0:", "k3f9.:1", "k3f9.0:1,", "k3f9.,0:1", "k3f9.0:-1",
        "k3f9.0:1 ", "k3f9.0:1\n", "k3f9.0:1,0:2", "k3f9.1:1,0:1", "k3f9.00:1", "k3f9.0:01", "k3f9.0:٣", "k3f9.0:9999999999999999999",
        "k3f9." + ",".join(f"{n}:1" for n in range(2000)),
    ],
    ids=lambda text: repr(text)[:30],
)  # fmt: skip
def test_garbage_is_refused(text):
    with pytest.raises(InvalidCursor) as refused:
        parse_cursor(text)
    assert refused.value.field == "since"


@given(st.text(st.sampled_from("ab0123456789.:,-"), max_size=20))
def test_whatever_is_taken_reads_back_to_the_same_text(text):
    try:
        cursor = parse_cursor(text)
    except InvalidCursor:
        return
    assert str(cursor) == text
