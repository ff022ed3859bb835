"""Both clocks keep the promises of the role."""

import pytest

from common.clock import ManualClock, SystemClock


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_monotonic_time_never_goes_back(clock):
    times = [clock.monotonic() for _ in range(100)]
    assert times == sorted(times)


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()])
def test_wall_time_is_in_milliseconds_of_this_century(clock):
    assert 1_600_000_000_000 < clock.now_ms() < 4_200_000_000_000


def test_a_manual_clock_moves_only_when_told_to():
    clock = ManualClock(monotonic=5.0, now_ms=1000)
    assert (clock.monotonic(), clock.now_ms()) == (5.0, 1000)
    clock.advance(1.5)
    assert (clock.monotonic(), clock.now_ms()) == (6.5, 2500)
