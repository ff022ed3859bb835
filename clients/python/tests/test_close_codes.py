import pytest

from defistream.close_codes import Verdict, requested_delay, verdict


@pytest.mark.parametrize(
    "code", [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4002, 4003, 4004, 4005, 4099, 4499]
)
def test_a_client_comes_back_after(code):
    assert verdict(code) is Verdict.RECONNECT


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 3000, 4500, 4504, 4999])
def test_a_client_stays_away_after(code):
    assert verdict(code) is Verdict.GIVE_UP


@pytest.mark.parametrize("code", [4501, 4502, 4503])
def test_a_key_is_to_blame_for(code):
    assert verdict(code) is Verdict.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("code", "reason", "told", "seconds"),
    [
        (4000, "draining, reconnect after 1500 ms", None, 1.5),
        (4000, '{"retryAfterMs":250}', 9.0, 0.25),
        (4000, "draining", 9.0, 9.0),
        (4000, "", None, None),
        (4001, "after 24 hours", None, None),
        (4004, "", 2.0, 2.0),
        (4005, "too many messages", None, 60.0),
        (4005, "too many messages", 2.0, 2.0),
    ],
)
def test_a_server_says_how_long_to_wait(code, reason, told, seconds):
    assert requested_delay(code, reason, told=told) == seconds
