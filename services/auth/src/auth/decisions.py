"""Key record and time in, decision out. Pure.

The first that holds: unknown, revoked, expired, allowed. Each refusal says why in words meant for the key's holder.
"""

from __future__ import annotations

from datetime import UTC, datetime

from auth.keys import KeyRecord
from common.events import Decision

UNKNOWN = Decision(allowed=False, reason="this API key is not known")
REVOKED = Decision(allowed=False, reason="this API key was revoked")


def decide(record: KeyRecord | None, *, now_ms: int) -> Decision:
    """The decision on a key of which `record` is known; `None` where there is no such key."""
    if record is None:
        return UNKNOWN
    if record.revoked_at is not None:
        return REVOKED
    if record.expires_at is not None and record.expired(now_ms):
        return Decision(allowed=False, reason=f"this API key expired on {_date(record.expires_at)}")
    return Decision(
        allowed=True,
        user=record.user,
        permissions=frozenset(record.permissions),
        limits=record.limits,
        expires_at=record.expires_at,
    )


def undecided(reason: str) -> Decision:
    """Not a refusal: the key store could not tell, so the client may try again."""
    return Decision(
        allowed=False, reason=f"API keys cannot be checked at present ({reason}); try again", retryable=True
    )


def usable_until(decision: Decision, *, now_ms: int, ttl_ms: int, negative_ttl_ms: int) -> int:
    """Until when a decision may be kept, milliseconds since 1970: never beyond the end of the key itself."""
    if not decision.allowed:
        return now_ms + negative_ttl_ms
    until = now_ms + ttl_ms
    return until if decision.expires_at is None else min(until, decision.expires_at)


def _date(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
