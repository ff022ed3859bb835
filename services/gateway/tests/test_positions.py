"""Positions drop repeats, cursors tell the progress and never go back, owners that were superseded are not heard."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.positions import Positions, Source
from services.gateway.tests.roles import examples


@pytest.fixture
def positions():
    return Positions()


def accept(positions: Positions, *, partition: int = 0, generation: int = 1, epoch: str = "k1") -> Source:
    source = positions.accept("prices", partition, generation, epoch)
    assert source is not None
    return source


def advance(positions: Positions, offset: int, **options: Any) -> bool:
    return positions.advance("prices", accept(positions, **options), offset)


def test_of_an_unknown_channel_nothing_was_had(positions):
    assert positions.cursor("prices") == "."
    accept(positions)
    assert positions.cursor("prices") == "k1."


def test_the_cursor_names_each_partition_that_has_come_anywhere(positions):
    advance(positions, 18231, partition=3)
    advance(positions, 123)
    accept(positions, partition=1)
    assert positions.cursor("prices") == "k1.0:123,3:18231"


def test_at_or_below_the_position_is_a_repeat(positions):
    assert advance(positions, 5)
    assert not advance(positions, 5)
    assert not advance(positions, 4)
    assert advance(positions, 6)


def test_a_new_owner_repeats_and_the_cursor_does_not_go_back(positions):
    advance(positions, 9)
    assert not advance(positions, 4, generation=2)
    assert positions.cursor("prices") == "k1.0:9"
    assert advance(positions, 10, generation=2)


def test_a_superseded_owner_is_not_heard(positions):
    accept(positions, generation=2)
    assert positions.accept("prices", 0, 1, "k1") is None
    assert positions.accept("prices", 1, 1, "k1") is not None


def test_while_a_room_recovers_the_cursor_stays_and_updates_pass(positions):
    advance(positions, 3)
    positions.recover("prices", 0, 1)
    assert advance(positions, 5)
    assert positions.cursor("prices") == "k1.0:3"
    positions.recover("prices", 0, -1)
    assert not advance(positions, 5)
    assert advance(positions, 6)
    assert positions.cursor("prices") == "k1.0:6"


def test_what_came_while_a_room_recovered_is_told_though_nothing_follows(positions):
    advance(positions, 3)
    positions.recover("prices", 0, 1)
    advance(positions, 5)
    positions.recover("prices", 0, -1)
    assert positions.cursor("prices") == "k1.0:5"


def test_the_cursor_stays_until_the_last_room_has_recovered(positions):
    advance(positions, 3)
    positions.recover("prices", 0, 1)
    positions.recover("prices", 0, 1)
    positions.recover("prices", 0, -1)
    advance(positions, 5)
    assert positions.cursor("prices") == "k1.0:3"


def test_a_recreated_topic_starts_again_under_its_new_epoch(positions):
    advance(positions, 100)
    advance(positions, 100, partition=1)
    assert advance(positions, 0, generation=2, epoch="k2")
    assert positions.cursor("prices") == "k2.0:0"


def test_a_superseded_owner_brings_no_old_epoch_back(positions):
    advance(positions, 100)
    advance(positions, 100, partition=1, generation=5)
    advance(positions, 0, generation=2, epoch="k2")
    assert positions.accept("prices", 0, 1, "k1") is None
    assert positions.accept("prices", 1, 4, "k1") is None
    assert positions.cursor("prices") == "k2.0:0"


def test_rooms_that_recover_when_a_topic_is_recreated_still_end_their_recovery(positions):
    advance(positions, 100)
    positions.recover("prices", 0, 1)
    advance(positions, 0, generation=2, epoch="k2")
    positions.recover("prices", 0, -1)
    advance(positions, 1, generation=2, epoch="k2")
    assert positions.cursor("prices") == "k2.0:1"


def test_after_clear_nothing_is_known(positions):
    advance(positions, 5, generation=7)
    positions.clear()
    assert positions.cursor("prices") == "."
    assert advance(positions, 0, generation=1)


@examples
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(1, 4)), max_size=60))
def test_each_offset_is_new_at_most_once_and_cursors_only_grow(segments):
    positions = Positions()
    had: set[tuple[int, int]] = set()
    told: dict[int, int] = {}
    for partition, offset, generation in segments:
        source = positions.accept("prices", partition, generation, "k1")
        if source is not None and positions.advance("prices", source, offset):
            assert (partition, offset) not in had
            had.add((partition, offset))
        pairs = positions.cursor("prices").partition(".")[2]
        now = {int(p): int(o) for p, o in (pair.split(":") for pair in pairs.split(",") if pair)}
        assert all(now[each] >= told[each] for each in told)
        told = now


def test_an_owner_that_has_not_noticed_a_new_topic_is_not_heard(positions):
    accept(positions, partition=1, generation=1)
    advance(positions, 9)
    advance(positions, 0, generation=2, epoch="k2")
    assert positions.accept("prices", 1, 1, "k1") is None
    assert positions.epoch("prices") == "k2"
    assert positions.accept("prices", 1, 2, "k2") is not None
