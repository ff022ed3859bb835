"""In a minute exactly as many pass as the limit says, whenever in it they come."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import WINDOW_SECONDS, AddressLimits, Window
from services.gateway.tests.roles import examples


def test_a_window_begins_with_its_first_event_and_lasts_a_minute():
    window = Window()
    assert [window.count(at) for at in (1000.0, 1030.0, 1059.9, 1060.0, 1119.9, 1120.0)] == [1, 2, 3, 1, 2, 1]


def test_the_first_event_opens_a_window_whenever_it_comes():
    for now in (0.0, 1e-9, 30.0, 1e9):
        window = Window()
        assert window.count(now) == 1
        assert window.remaining(now) == WINDOW_SECONDS


def test_what_remains_of_a_window_is_never_below_zero():
    window = Window()
    window.count(100.0)
    assert window.remaining(145.0) == 15.0
    assert window.remaining(500.0) == 0.0


@examples
@given(st.lists(st.floats(0, 30), max_size=100))
def test_no_minute_counts_from_more_than_its_first_event(gaps):
    window, now, start, expected = Window(), 1000.0, None, 0
    for gap in gaps:
        now += gap
        if start is None or now - start >= WINDOW_SECONDS:
            start, expected = now, 0
        expected += 1
        assert window.count(now) == expected


def test_each_address_has_its_own_minute():
    limits = AddressLimits(2)
    assert [limits.admit("a", 100.0), limits.admit("a", 110.0)] == [None, None]
    assert limits.admit("a", 120.0) == 40.0
    assert limits.admit("b", 120.0) is None
    assert limits.admit("a", 160.0) is None


def test_attempts_that_were_refused_do_not_move_the_window():
    limits = AddressLimits(1)
    limits.admit("a", 100.0)
    for at in range(101, 160):
        assert limits.admit("a", float(at)) is not None
    assert limits.admit("a", 160.0) is None


def test_addresses_of_the_past_are_forgotten():
    limits = AddressLimits(1)
    for number in range(1000):
        limits.admit(f"10.0.0.{number}", 100.0)
    limits.admit("later", 200.0)
    assert list(limits._windows) == ["later"]
