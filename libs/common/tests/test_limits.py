"""Limits are told by their wire names, and a key's own replace the defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FieldError
from common.limits import NAMES, UNLIMITED, Limits, check_overrides

OVERRIDES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 10**6))
MAY_BE_TAKEN_AWAY = ("messagesPerMinute", "subscriptionChangesPerMinute", "subscriptions", "connections")


def test_the_defaults_are_the_documented_ones():
    assert Limits().to_json() == {
        "messageBytes": 32768,
        "messagesPerMinute": 1000,
        "subscriptionChangesPerMinute": 60,
        "subscriptions": 100,
        "filterValues": 100,
        "connections": None,
    }


@given(OVERRIDES)
def test_a_keys_own_limits_replace_the_defaults(overrides):
    check_overrides(overrides)
    assert Limits().with_overrides(overrides).to_json() == {**Limits().to_json(), **overrides}


@pytest.mark.parametrize("name", MAY_BE_TAKEN_AWAY)
def test_null_takes_a_limit_away(name):
    check_overrides({name: None})
    assert Limits().with_overrides({name: None}).to_json()[name] is None


def test_a_key_without_rate_limits_still_has_bounded_messages():
    check_overrides(UNLIMITED)
    limits = Limits().with_overrides(UNLIMITED)
    assert limits.messages_per_minute is None
    assert limits.message_bytes == 32768


def test_a_limit_of_a_newer_version_is_passed_over():
    assert Limits().with_overrides({"later": 1}) == Limits()


@pytest.mark.parametrize(
    ("name", "value"),
    [("later", 1), ("messageBytes", None), ("filterValues", None), ("subscriptions", 0), ("subscriptions", -1),
     ("subscriptions", "5"), ("subscriptions", 1.5), ("subscriptions", True)],
)  # fmt: skip
def test_what_is_no_limit_is_refused_by_name(name, value):
    with pytest.raises(FieldError) as refused:
        check_overrides({name: value})
    assert refused.value.field == name
