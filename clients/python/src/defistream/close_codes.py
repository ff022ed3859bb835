"""What a close code tells a client to do: its range decides, so that codes of later servers are understood too.

4000-4499 may reconnect, 4500-4999 must not; the registered codes as RFC 6455, section 7.4, and the IANA registry describe them.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum


class CloseCode(IntEnum):
    """The codes of the defistream protocol, and those of RFC 6455 that the driver itself reports."""

    NORMAL = 1000
    GOING_AWAY = 1001
    ABNORMAL = 1006
    DRAINING = 4000
    LIFETIME_REACHED = 4001
    IDLE = 4002
    SLOW_CONSUMER = 4003
    UNAVAILABLE = 4004
    RATE_LIMITED = 4005
    BAD_REQUEST = 4500
    AUTHENTICATION_TIMEOUT = 4501
    INVALID_KEY = 4502
    KEY_REVOKED = 4503
    TOO_MANY_CONNECTIONS = 4504


class Verdict(Enum):
    """What follows a close."""

    RECONNECT = "reconnect"
    GIVE_UP = "give up"
    UNAUTHENTICATED = "unauthenticated"


RATE_WINDOW = 60.0
"""Seconds."""

_UNAUTHENTICATED = frozenset({CloseCode.AUTHENTICATION_TIMEOUT, CloseCode.INVALID_KEY, CloseCode.KEY_REVOKED})
# Normal, going away, no status, abnormal, internal error, service restart, try again later, bad gateway.
_PASSING = frozenset({1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014})
_FIRST_NUMBER = re.compile(r"\d{1,9}")


def verdict(code: int) -> Verdict:
    """Whether a client may come back after this code. Codes that would only repeat (1002, 1007, 1009, 3xxx) say no."""
    if code in _UNAUTHENTICATED:
        return Verdict.UNAUTHENTICATED
    if code in _PASSING or 4000 <= code < 4500:
        return Verdict.RECONNECT
    return Verdict.GIVE_UP


def requested_delay(code: int, reason: str, *, told: float | None) -> float | None:
    """Seconds that the server asks to wait: what it `told` before, or, when draining, the first number of its reason (milliseconds).

    A server that limits rates counts by the minute (docs/protocol.md), so a minute where it said nothing.
    """
    found = _FIRST_NUMBER.search(reason) if code == CloseCode.DRAINING else None
    if found:
        return int(found.group()) / 1000
    return told or (RATE_WINDOW if code == CloseCode.RATE_LIMITED else None)
