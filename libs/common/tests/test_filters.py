"""Filters have one canonical form, and what cannot be one is refused by the name of its field."""

import math

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ErrorCode, InvalidFilter
from common.filters import EVERYTHING, MAX_VALUE_LENGTH, Filter, normalize_token, parse_filter

WORDS = st.text(st.sampled_from("abcXYZ019:-_. éß東"), min_size=1, max_size=12).filter(str.strip)
HEX = st.integers(0, 2**64).map(lambda number: f"ethereum:0x{number:x}")
TOKENS = st.one_of(WORDS, HEX)
NUMBERS = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def raw_filters(draw):
    """A filter as a client may write it, keys in any order."""
    raw = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "protocolIds": st.lists(WORDS, min_size=1, max_size=5),
                "tokenIds": st.lists(TOKENS, min_size=1, max_size=5),
                "chains": st.lists(WORDS, min_size=1, max_size=5),
                "userId": WORDS,
                "minValue": NUMBERS,
                "maxValue": NUMBERS,
            },
        )
    )
    if raw.get("minValue", -math.inf) > raw.get("maxValue", math.inf):
        raw["minValue"], raw["maxValue"] = raw["maxValue"], raw["minValue"]
    return dict(draw(st.permutations(list(raw.items()))))


@given(raw_filters())
def test_canonical_form_is_its_own_canonical_form(raw):
    parsed = parse_filter(raw)
    assert parse_filter(parsed.to_json()) == parsed
    assert parse_filter(orjson.loads(parsed.canonical())).canonical() == parsed.canonical()


@given(raw_filters(), st.randoms(use_true_random=False))
def test_order_repeats_and_whitespace_do_not_matter(raw, random):
    def rewritten(value: object) -> object:
        if isinstance(value, list):
            again = [f"  {item}\t" for item in value] + value[:1]
            random.shuffle(again)
            return again
        return f"\n{value} " if isinstance(value, str) else value

    names = list(raw)
    random.shuffle(names)
    other = parse_filter({name: rewritten(raw[name]) for name in names})
    assert other == parse_filter(raw)
    assert hash(other) == hash(parse_filter(raw))
    assert other.canonical() == parse_filter(raw).canonical()


@given(st.lists(st.text(st.sampled_from("abcdefXYZ019-"), min_size=1), min_size=1, max_size=5))
def test_protocols_and_chains_compare_without_case(ids):
    for name in ("protocolIds", "chains"):
        upper = parse_filter({name: [value.upper() for value in ids]})
        assert upper == parse_filter({name: [value.lower() for value in ids]})


@given(st.binary(min_size=1, max_size=20))
def test_addresses_in_token_ids_compare_without_case(address):
    assert normalize_token(f"base:0X{address.hex().upper()}") == f"base:0x{address.hex()}"


def test_token_ids_outside_addresses_keep_their_case():
    assert normalize_token(" coingecko:Bitcoin ") == "coingecko:Bitcoin"
    assert normalize_token("A0xBC") == "A0xBC"


def test_users_keep_their_case():
    assert parse_filter({"userId": " Ann "}).user_id == "Ann"


def test_whole_numbers_are_one_bound_however_written():
    assert parse_filter({"minValue": 1000}).canonical() == parse_filter({"minValue": 1000.0}).canonical()
    assert parse_filter({"minValue": -0.0}).canonical() == b'{"minValue":0}'


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_filter_selects_everything(nothing):
    assert parse_filter(nothing) == EVERYTHING == Filter()
    assert EVERYTHING.canonical() == b"{}"


def test_zero_is_a_bound():
    assert parse_filter({"minValue": 0, "maxValue": 0}).to_json() == {"maxValue": 0, "minValue": 0}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ([], "filters"),
        ("prices", "filters"),
        (7, "filters"),
        (True, "filters"),
        ({"tokens": ["a"]}, "filters.tokens"),
        ({"tokenIds": []}, "filters.tokenIds"),
        ({"tokenIds": None}, "filters.tokenIds"),
        ({"tokenIds": "bitcoin"}, "filters.tokenIds"),
        ({"tokenIds": {"0": "a"}}, "filters.tokenIds"),
        ({"tokenIds": ["a"] * 101}, "filters.tokenIds"),
        ({"tokenIds": ["a", 7]}, "filters.tokenIds[1]"),
        ({"chains": ["base", "  "]}, "filters.chains[1]"),
        ({"protocolIds": ["a" * (MAX_VALUE_LENGTH + 1)]}, "filters.protocolIds[0]"),
        ({"userId": ""}, "filters.userId"),
        ({"userId": ["ann"]}, "filters.userId"),
        ({"minValue": "1"}, "filters.minValue"),
        ({"minValue": True}, "filters.minValue"),
        ({"maxValue": None}, "filters.maxValue"),
        ({"maxValue": math.nan}, "filters.maxValue"),
        ({"maxValue": math.inf}, "filters.maxValue"),
        ({"maxValue": 10**400}, "filters.maxValue"),
        ({"minValue": 2, "maxValue": 1}, "filters.minValue"),
    ],
)
def test_what_is_no_filter_is_refused_by_the_name_of_its_field(raw, field):
    with pytest.raises(InvalidFilter) as refused:
        parse_filter(raw)
    assert refused.value.field == field
    assert refused.value.code is ErrorCode.INVALID_FILTER


def test_a_key_may_allow_more_values_in_a_filter():
    values = [f"token-{number}" for number in range(101)]
    assert len(parse_filter({"tokenIds": values}, max_values=101).token_ids) == 101
