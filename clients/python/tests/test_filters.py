from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defistream.errors import InvalidArgument
from defistream.filters import Filters, make_filters
from defistream.updates import Update

words = st.sampled_from(["a", "B", " b ", "0xAB", "base:0xab", "coin:0xAb", "c"])
lists = st.none() | st.lists(words, min_size=1, max_size=3)
numbers = st.none() | st.integers(-3, 3) | st.floats(-3, 3)
wishes = st.fixed_dictionaries(
    {"token_ids": lists, "protocol_ids": lists, "chains": lists, "min_value": numbers, "max_value": numbers}
)
updates = st.fixed_dictionaries(
    {},
    optional={
        "tokenId": words,
        "protocolId": words,
        "chain": words,
        "chains": st.lists(words, max_size=3),
        "userId": words,
        "value": st.integers(-3, 3) | st.floats(-3, 3),
    },
)


def plain_match(raw: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """The table of docs/protocol.md, written as plainly as can be."""
    own_chains = [*([raw["chain"]] if "chain" in raw else []), *raw.get("chains", [])]
    value = raw.get("value")
    tokens, protocols, chains = wanted["token_ids"], wanted["protocol_ids"], wanted["chains"]
    low, high = wanted["min_value"], wanted["max_value"]
    return all(
        (
            tokens is None or ("tokenId" in raw and token(raw["tokenId"]) in map(token, tokens)),
            protocols is None or ("protocolId" in raw and folded(raw["protocolId"]) in map(folded, protocols)),
            chains is None or any(folded(one) in map(folded, chains) for one in own_chains),
            low is None or (value is not None and value >= low),
            high is None or (value is not None and value <= high),
        )
    )


def folded(text: str) -> str:
    return text.strip().lower()


def token(text: str) -> str:
    head, found, tail = text.strip().partition("0x")
    return head + found + tail.lower() if found else head


@given(updates, wishes)
def test_filters_match_as_the_protocol_says(raw, wanted):
    bounds = sorted(bound for bound in (wanted["min_value"], wanted["max_value"]) if bound is not None)
    if len(bounds) == 2:
        wanted = wanted | {"min_value": bounds[0], "max_value": bounds[1]}
    assert make_filters(**wanted).matches(Update("prices", "0:1", raw)) == plain_match(raw, wanted)


@pytest.mark.parametrize(("raw", "matches"), [({"userId": "ann"}, True), ({"userId": "Ann"}, False), ({}, False)])
def test_users_compare_exactly(raw, matches):
    assert make_filters(user_id=" ann ").matches(Update("alerts", "0:1", raw)) is matches


@given(st.permutations(["Base", "base ", "ethereum"]))
def test_filters_that_select_the_same_are_equal(chains):
    assert make_filters(chains=chains) == make_filters(chains={"ethereum", "base"})


def test_the_wire_has_only_what_was_given():
    assert Filters().to_json() == {}
    assert make_filters(token_ids=["b", "a"], min_value=0).to_json() == {"tokenIds": ["a", "b"], "minValue": 0}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"token_ids": [str(n) for n in range(101)]}, "token_ids"),
        ({"protocol_ids": [""]}, "protocol_ids"),
        ({"protocol_ids": [7]}, "protocol_ids"),
        ({"user_id": " "}, "user_id"),
        ({"max_value": float("inf")}, "max_value"),
        ({"max_value": True}, "max_value"),
        ({"max_value": "7"}, "max_value"),
    ],
)
def test_what_the_server_would_refuse_is_refused_by_name(arguments, name):
    with pytest.raises(InvalidArgument, match=name):
        make_filters(**arguments)
