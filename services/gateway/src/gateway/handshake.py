"""What a WebSocket handshake says: path, key and whom it comes from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request

Networks = Sequence[IPv4Network | IPv6Network]
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Handshake:
    path: str
    api_key: str | None
    address: str
    limited: bool
    """Whether new connections of this address are counted."""


def read_handshake(request: Request, peer: str, *, trusted: Networks) -> Handshake:
    """`peer` is the socket's address. A trusted one may say whom it speaks for, and is not limited where it does not."""
    path, query = _target(request.path)
    is_trusted = _is_in(peer, trusted)
    forwarded = _forwarded_for(request.headers, trusted) if is_trusted else None
    return Handshake(
        path=path,
        api_key=find_api_key({name.lower(): value for name, value in request.headers.raw_items()}, query),
        address=forwarded or peer,
        limited=forwarded is not None or not is_trusted,
    )


def find_api_key(headers: dict[str, str], query: str) -> str | None:
    """`Authorization: Bearer`, `x-api-key`, query `apiKey` or `api_key`; the first found wins. Names of headers in lower case."""
    authorization = headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER and (key := authorization[len(_BEARER) :].strip()):
        return key
    if key := headers.get("x-api-key", "").strip():
        return key
    given = parse_qs(query)
    for name in ("apiKey", "api_key"):
        if name in given and (key := given[name][0].strip()):
            return key
    return None


def _target(text: str) -> tuple[str, str]:
    """Path and query of a request's target, which may also be a whole URL."""
    try:
        url = urlsplit(text)
    except ValueError:
        return text, ""
    return url.path, url.query


def _forwarded_for(headers: Headers, trusted: Networks) -> str | None:
    """The address nearest to us that is not one of our own proxies: what stands left of it, its sender may have made up."""
    hops = [hop.strip() for line in headers.get_all("X-Forwarded-For") for hop in line.split(",")]
    for hop in reversed(hops):
        if _address(hop) is None:
            return None
        if not _is_in(hop, trusted):
            return hop
    return None


def _is_in(text: str, networks: Networks) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """`None` where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None
