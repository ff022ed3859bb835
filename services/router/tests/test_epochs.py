"""A stream epoch is another one for each topic that a channel has had, and the same for all routers that look at one."""

from __future__ import annotations

import pytest

from common.cursor import Cursor, parse_cursor
from router.epochs import epoch_after

OLD, NEW = bytes(range(16)), bytes(range(1, 17))


@pytest.mark.parametrize("topic_id", [None, OLD])
def test_a_topic_that_stays_keeps_its_epoch(topic_id):
    first = epoch_after(None, topic_id, is_new=True)
    assert epoch_after(first, topic_id, is_new=False) == first


def test_all_routers_agree_on_a_topic_that_has_an_id():
    assert epoch_after(None, OLD, is_new=True) == epoch_after("abcdef", OLD, is_new=False)


def test_a_topic_under_another_id_has_another_epoch_without_being_said_to_be_new():
    before = epoch_after(None, OLD, is_new=False)
    after = epoch_after(before, NEW, is_new=False)
    assert after not in (before, "")
    assert epoch_after(after, OLD, is_new=False) == before


@pytest.mark.parametrize("topic_id", [None, OLD])
def test_records_that_are_others_have_another_epoch_that_stays(topic_id):
    before = epoch_after(None, topic_id, is_new=False)
    after = epoch_after(before, topic_id, is_new=True)
    assert after != before
    assert epoch_after(after, topic_id, is_new=False) == after
    assert epoch_after(after, topic_id, is_new=True) not in (before, after)


@pytest.mark.parametrize("before", [None, "abcdef"])
def test_an_epoch_is_one_that_cursors_take(before):
    epoch = epoch_after(before, OLD, is_new=True)
    assert parse_cursor(str(Cursor(epoch, {0: 1}))).epoch == epoch
