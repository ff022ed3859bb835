import pytest
from hypothesis import given
from hypothesis import strategies as st

from defistream.cursors import SEEN_LIMIT, Cursor, Position, Standing, parse_cursor, parse_place
from defistream.errors import InvalidArgument

offsets = st.dictionaries(st.integers(0, 20), st.integers(0, 10**18), max_size=8)
cursors = st.builds(Cursor, st.sampled_from(["k3f9", "a1"]), offsets)
ids = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)))


@given(cursors)
def test_a_cursor_is_read_back_as_it_was_written(cursor):
    assert parse_cursor(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text", ["", ".", "k3f9", "k3f9.0", "k3f9.0:1,", "k3f9.-1:2", "k3f9.0:1 ", "k3f9.0:x", None, 7]
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidArgument, match="not a cursor"):
        parse_cursor(text)


@pytest.mark.parametrize(
    ("update_id", "place"),
    [("3:18231", (3, 18231)), ("0:0", (0, 0)), ("x", None), ("3:", None), (3, None), ("3:1:2", None)],
)
def test_an_id_is_partition_and_offset(update_id, place):
    assert parse_place(update_id) == place


@given(cursors, cursors)
def test_a_merged_cursor_has_had_all_that_either_has(one, later):
    merged = one.merged(later)
    assert not later.is_ahead_of(merged)
    assert one.epoch != later.epoch or not one.is_ahead_of(merged)


@given(ids)
def test_an_id_is_new_exactly_once(places):
    position = Position()
    taken = [place for place in places if position.take(*place, moves=True)]
    assert taken == list(dict.fromkeys(places))


@given(before=ids, told=st.dictionaries(st.integers(0, 2), st.integers(0, 30)), after=ids)
def test_what_a_server_told_as_had_is_never_new(before, told, after):
    position = Position()
    had = {place for place in before if position.take(*place, moves=False)}
    position.tell(Cursor("k3f9", told))
    taken = {place for place in after if position.take(*place, moves=False)}
    assert taken == {(p, offset) for p, offset in after if (p, offset) not in had and offset > told.get(p, -1)}


@given(ids, st.dictionaries(st.integers(0, 2), st.integers(0, 30)))
def test_a_cursor_stands_at_the_furthest_of_what_was_told_and_had(places, told):
    standing = Standing(Cursor("k3f9", told))
    for place in places:
        standing.move(*place)
    expected = dict(told)
    for partition, offset in places:
        expected[partition] = max(offset, expected.get(partition, -1))
    assert standing.cursor == Cursor("k3f9", expected)


def test_an_older_update_after_a_newer_one_is_not_taken_for_a_repeat():
    position = Position(Cursor("k3f9", {0: 100}))
    assert position.take(0, 120, moves=False)
    assert position.take(0, 110, moves=False)
    assert not position.take(0, 110, moves=False)
    assert position.cursor == Cursor("k3f9", {0: 100})


def test_offsets_of_a_new_stream_are_not_taken_for_repeats():
    position = Position(Cursor("k3f9", {0: 100}))
    position.tell(Cursor("b2", {0: 3}))
    assert position.take(0, 4, moves=True)
    assert position.cursor == Cursor("b2", {0: 4})


def test_the_epoch_may_come_after_the_first_updates():
    position = Position()
    assert position.take(0, 5, moves=False)
    position.enter("k3f9")
    assert not position.take(0, 5, moves=False)


def test_memory_of_seen_ids_is_bounded():
    position = Position()
    for offset in range(SEEN_LIMIT + 1):
        assert position.take(0, offset, moves=True)
    assert not position.take(0, 0, moves=True)
    assert not position.take(0, SEEN_LIMIT, moves=True)
    assert position.take(0, SEEN_LIMIT + 1, moves=True)
