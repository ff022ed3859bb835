from hypothesis import given
from hypothesis import strategies as st

from defistream.backoff import Backoff


def test_the_ceiling_doubles_up_to_the_cap():
    backoff = Backoff(first=1.0, cap=5.0, draw=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_useful_connection_makes_the_next_wait_short_again():
    backoff = Backoff(first=1.0, draw=lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1.0


@given(attempts=st.integers(0, 3000), drawn=st.floats(0, 1), asked=st.none() | st.floats(0, 1e6))
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_that_and_the_cap(attempts, drawn, asked):
    backoff = Backoff(first=0.5, cap=30.0, draw=lambda: drawn)
    for _ in range(attempts % 80):
        backoff.next()
    assert (asked or 0.0) <= backoff.next(at_least=asked) <= (asked or 0.0) + 30.0
