"""What a handshake says: the key, first found wins, and whom it comes from, as far as that can be believed."""

from ipaddress import ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from gateway.handshake import Handshake, find_api_key, read_handshake
from services.gateway.tests.roles import examples

TRUSTED = (ip_network("127.0.0.0/8"), ip_network("::1/128"), ip_network("10.0.0.0/8"))
CLIENT, PROXY, OUTER_PROXY = "203.0.113.7", "127.0.0.1", "10.0.0.9"


def read(path="/v2/realtime", *headers: tuple[str, str], peer: str = CLIENT) -> Handshake:
    return read_handshake(Request(path, Headers(headers)), peer, trusted=TRUSTED)


# The key -------------------------------------------------------------------------------------------------------------

KEYS = [
    ({}, "", None),
    ({"authorization": "Bearer k1"}, "", "k1"),
    ({"authorization": "bearer   k1 "}, "", "k1"),
    ({"authorization": "BEARER k1"}, "", "k1"),
    ({"authorization": "Basic k1"}, "", None),
    ({"authorization": "Bearer "}, "", None),
    ({"authorization": "Bearer"}, "", None),
    ({"x-api-key": " k2 "}, "", "k2"),
    ({"x-api-key": ""}, "", None),
    ({}, "apiKey=k3", "k3"),
    ({}, "api_key=k4", "k4"),
    ({}, "apiKey=", None),
    ({}, "apikey=k3", None),
    ({}, "apiKey=a%2Bb%3D", "a+b="),
    ({}, "apiKey=k3&apiKey=other", "k3"),
    ({}, "api_key=k4&apiKey=k3", "k3"),
    ({"x-api-key": "k2"}, "apiKey=k3", "k2"),
    ({"authorization": "Bearer k1", "x-api-key": "k2"}, "apiKey=k3", "k1"),
    ({"authorization": "Basic k1", "x-api-key": "k2"}, "", "k2"),
    ({"authorization": "Bearer ", "x-api-key": " "}, "api_key=k4", "k4"),
]


@pytest.mark.parametrize(("headers", "query", "key"), KEYS)
def test_the_first_key_found_wins(headers, query, key):
    assert find_api_key(headers, query) == key


def test_names_of_headers_have_no_case():
    assert read("/v2/realtime", ("X-API-Key", "k2")).api_key == "k2"
    assert read("/v2/realtime", ("AUTHORIZATION", "Bearer k1")).api_key == "k1"


@pytest.mark.parametrize(
    ("target", "path", "key"),
    [
        ("/v2/realtime", "/v2/realtime", None),
        ("/v2/realtime?apiKey=k3", "/v2/realtime", "k3"),
        ("/?a=b", "/", None),
        ("/v2/realtime?x=/?apiKey=k", "/v2/realtime", None),
    ],
)
def test_path_and_query_are_told_apart(target, path, key):
    handshake = read(target)
    assert (handshake.path, handshake.api_key) == (path, key)


# The address ---------------------------------------------------------------------------------------------------------


def address(peer: str, *forwarded: str) -> tuple[str, bool]:
    handshake = read("/", *(("X-Forwarded-For", line) for line in forwarded), peer=peer)
    return handshake.address, handshake.limited


def test_a_peer_that_is_not_trusted_is_itself_whatever_it_says():
    assert address(CLIENT) == (CLIENT, True)
    assert address(CLIENT, "198.51.100.1") == (CLIENT, True)
    assert address(CLIENT, "127.0.0.1") == (CLIENT, True)


def test_a_trusted_peer_that_speaks_for_itself_is_not_limited():
    assert address(PROXY) == (PROXY, False)
    assert address("::1") == ("::1", False)


def test_a_trusted_peer_speaks_for_its_client():
    assert address(PROXY, CLIENT) == (CLIENT, True)
    assert address(PROXY, "2001:db8::7") == ("2001:db8::7", True)


def test_what_a_client_made_up_left_of_its_own_address_is_not_believed():
    assert address(PROXY, f"198.51.100.1, 127.0.0.1, {CLIENT}") == (CLIENT, True)
    assert address(PROXY, "198.51.100.1", CLIENT) == (CLIENT, True)


def test_several_trusted_proxies_are_looked_through():
    assert address(PROXY, f"{CLIENT}, {OUTER_PROXY}") == (CLIENT, True)
    assert address(PROXY, CLIENT, f"{OUTER_PROXY} , {OUTER_PROXY}") == (CLIENT, True)


def test_a_chain_of_trusted_addresses_alone_is_the_peer():
    assert address(PROXY, f"{OUTER_PROXY}, 127.0.0.5") == (PROXY, False)


@pytest.mark.parametrize("nonsense", ["unknown", "", ",", "203.0.113.7:8080", "_hidden", "203.0.113.7, x"])
def test_what_is_no_address_is_not_believed(nonsense):
    assert address(PROXY, nonsense) == (PROXY, False)


def test_a_socket_without_an_address_is_limited():
    assert address("") == ("", True)


PRINTABLE = st.characters(codec="latin-1", categories=("L", "N", "P", "S", "Zs"))


@examples
@given(
    st.text(PRINTABLE, max_size=40),
    st.lists(st.text(PRINTABLE, max_size=30), max_size=3),
    st.sampled_from([CLIENT, PROXY, "", "not an address"]),
)
@example("/[", [], CLIENT)
@example("/[::1]:x?apiKey=k", [], CLIENT)
def test_any_handshake_can_be_read(path, lines, peer):
    headers = [("X-Forwarded-For", line) for line in lines] + [("Authorization", line) for line in lines]
    handshake = read("/" + path, *headers, peer=peer)
    assert handshake.limited or peer == PROXY
