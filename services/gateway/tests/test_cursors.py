"""What is wrong with a cursor and can be seen without asking a router."""

import pytest

from common.cursor import Cursor
from common.errors import ErrorCode
from gateway.cursors import CursorCheck
from gateway.positions import Positions


@pytest.fixture
def check():
    positions = Positions()
    positions.accept("prices", 0, 1, "k3f9")
    positions.accept("tvl", 0, 1, "t5x2")
    return CursorCheck(positions, lambda _channel: 3)


@pytest.mark.parametrize("cursor", [Cursor("k3f9"), Cursor("k3f9", {0: 5, 2: 1}), Cursor("unknown", {0: 5})], ids=str)
def test_a_cursor_that_may_be_one_of_the_channel_is_left_to_the_router(check, cursor):
    assert check("prices", cursor) is None


def test_a_cursor_of_another_channel_is_named(check):
    refused = check("prices", Cursor("t5x2", {0: 5}))
    assert (refused.code, refused.field) == (ErrorCode.BAD_REQUEST, "since")
    assert "tvl" in refused.message


def test_a_partition_that_the_channel_does_not_have_is_named(check):
    refused = check("prices", Cursor("k3f9", {0: 5, 3: 1}))
    assert (refused.code, refused.field) == (ErrorCode.BAD_REQUEST, "since")
    assert "partition 3" in refused.message
