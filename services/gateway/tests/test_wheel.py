"""The wheel gives each item when its time has come: never early, and late by at most its granularity."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.wheel import Wheel
from services.gateway.tests.roles import examples

GRANULARITY = 0.1
ROUNDING = 1e-9


def test_an_item_comes_once():
    wheel: Wheel[str] = Wheel(granularity=1.0, now=0.0)
    wheel.schedule("a", 2.5)
    assert wheel.due(2.9) == []
    assert wheel.due(3.0) == ["a"]
    assert wheel.due(100.0) == []


def test_items_come_in_the_order_of_their_times():
    wheel: Wheel[str] = Wheel(granularity=1.0, now=0.0)
    for item, at in (("c", 7.0), ("a", 1.0), ("b", 4.0)):
        wheel.schedule(item, at)
    assert wheel.due(10.0) == ["a", "b", "c"]


def test_what_is_overdue_when_scheduled_comes_next():
    wheel: Wheel[str] = Wheel(granularity=1.0, now=100.0)
    wheel.due(110.0)
    wheel.schedule("late", 5.0)
    assert wheel.due(111.0) == ["late"]


def test_an_item_may_be_in_it_twice():
    wheel: Wheel[str] = Wheel(granularity=1.0, now=0.0)
    wheel.schedule("a", 1.0)
    wheel.schedule("a", 3.0)
    assert (wheel.due(2.0), wheel.due(4.0)) == (["a"], ["a"])


@examples
@given(
    st.floats(0, 1e6),
    st.lists(st.floats(0, 30), max_size=20),
    st.lists(st.floats(0.001, 3), min_size=1, max_size=50),
)
def test_never_early_and_at_most_a_granularity_late(start, delays, steps):
    wheel: Wheel[int] = Wheel(granularity=GRANULARITY, now=start)
    times = [start + delay for delay in delays]
    for number, at in enumerate(times):
        wheel.schedule(number, at)
    now, before, came = start, start, set()
    for step in (*steps, 40.0):
        before, now = now, now + step
        for number in wheel.due(now):
            assert number not in came
            came.add(number)
            assert now + ROUNDING >= times[number]
            assert before <= times[number] + GRANULARITY + ROUNDING, "was due at the look before"
    assert came == set(range(len(times)))
