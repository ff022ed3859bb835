"""Keys leave a process only as hashes; ids are random and safe in addresses."""

import re

from hypothesis import given
from hypothesis import strategies as st

from common.identifiers import hash_api_key, new_api_key, new_connection_id, new_gateway_id


@given(st.text(max_size=200), st.text(min_size=1, max_size=200))
def test_a_hash_has_64_hex_digits_and_is_always_the_same(api_key, pepper):
    key_hash = hash_api_key(api_key, pepper)
    assert re.fullmatch("[0-9a-f]{64}", key_hash)
    assert hash_api_key(api_key, pepper) == key_hash


def test_a_hash_depends_on_key_and_pepper():
    assert len({hash_api_key(key, pepper) for key in ("a", "b") for pepper in ("x", "y", "y" * 80, "y" * 81)}) == 8


def test_hashes_stay_the_same_from_version_to_version():
    expected = "fcdacbf3edec2bb821ccaf3be4b9957754e4aed0486a3a17d2fcdff5544e1b49"
    assert hash_api_key("ds_example", "defistream-development") == expected


def test_new_keys_are_recognisable_and_different():
    keys = {new_api_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"ds_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_new_ids_are_different():
    assert len({new_connection_id() for _ in range(100)}) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", new_connection_id()) for _ in range(10))
    assert re.fullmatch(r"gw-[0-9a-f]{8}", new_gateway_id())
