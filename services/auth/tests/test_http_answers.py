"""Answers of existing key systems, read by the settings' mapping."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.key_stores.http_answers import AnswerFields, MalformedAnswer, read_answer
from auth.keys import KeyRecord
from common.identifiers import KeyHash

KEY = KeyHash("ab" * 32)
FIELDS = AnswerFields()


def read(body: object, fields: AnswerFields = FIELDS) -> KeyRecord | None:
    return read_answer(body, fields, KEY)


def test_an_answer_in_our_own_words_needs_no_mapping():
    body = {
        "valid": True,
        "user": "alice",
        "permissions": ["channel:prices", "broadcast"],
        "limits": {"subscriptions": 500, "messagesPerMinute": None},
        "expiresAt": 1_800_000_000_000,
    }
    assert read(body) == KeyRecord(
        key_hash=KEY,
        user="alice",
        permissions=("channel:prices", "broadcast"),
        limits={"subscriptions": 500, "messagesPerMinute": None},
        expires_at=1_800_000_000_000,
    )


def test_fields_are_found_by_their_paths():
    fields = AnswerFields(
        valid="data.active", user="data.owner.id", permissions="data.scopes", limits=None, expires=None
    )
    body = {"data": {"active": True, "owner": {"id": 42}, "scopes": "channel:prices, users:* admin"}}
    assert read(body, fields) == KeyRecord(key_hash=KEY, user="42", permissions=("channel:prices", "users:*"))


def test_a_key_that_is_not_valid_is_not_known():
    assert read({"valid": False}) is None


def test_a_missing_verdict_is_no_verdict():
    with pytest.raises(MalformedAnswer, match="valid must be true or false"):
        read({"user": "alice"})


def test_without_a_field_of_validity_each_answer_is_a_valid_key():
    assert read({"user": "alice"}, AnswerFields(valid=None)) is not None


def test_an_answer_without_permissions_gives_the_default_ones():
    found = read({"valid": True}, AnswerFields(default_permissions=("channel:tvl",)))
    assert found is not None
    assert found.permissions == ("channel:tvl",)


def test_an_empty_list_of_permissions_gives_none():
    found = read({"valid": True, "permissions": []})
    assert found is not None
    assert found.permissions == ()


def test_limits_that_mean_nothing_are_left_out():
    found = read(
        {"valid": True, "limits": {"subscriptions": "9", "requests": 3, "connections": True, "filterValues": 5}}
    )
    assert found is not None
    assert found.limits == {"filterValues": 5}


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        (1_800_000_000, 1_800_000_000_000),
        (1_800_000_000_000, 1_800_000_000_000),
        (1_800_000_000.5, 1_800_000_000_500),
        ("2027-01-15T08:00:00Z", 1_800_000_000_000),
        ("2027-01-15T09:00:00+01:00", 1_800_000_000_000),
        ("2027-01-15T08:00:00", 1_800_000_000_000),
        (None, None),
    ],
)
def test_expiry_is_seconds_milliseconds_or_iso_8601(given, milliseconds):
    found = read({"valid": True, "expiresAt": given})
    assert found is not None
    assert found.expires_at == milliseconds


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ([], "no JSON object"),
        ({"valid": "yes"}, "valid must be"),
        ({"valid": True, "user": ["alice"]}, "user must be"),
        ({"valid": True, "permissions": 7}, "permissions must be"),
        ({"valid": True, "permissions": [7]}, "permissions must be"),
        ({"valid": True, "limits": [1]}, "limits must be"),
        ({"valid": True, "expiresAt": "soon"}, "expiresAt must be"),
        ({"valid": True, "expiresAt": True}, "expiresAt must be"),
        ({"valid": True, "expiresAt": float("nan")}, "expiresAt must be"),
    ],
)
def test_a_malformed_answer_names_the_field(body, problem):
    with pytest.raises(MalformedAnswer, match=problem):
        read(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("valid", "user", "permissions", "limits", "expiresAt"), json_values)
    )
)
def test_any_json_is_a_record_no_record_or_malformed(body):
    try:
        found = read(body)
    except MalformedAnswer:
        return
    assert found is None or body["valid"] is True
