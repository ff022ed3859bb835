"""What is known of an API key, and the short id by which people name it. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from common.identifiers import KeyHash

ID_DIGITS = 12
HASH_DIGITS = 64

LAST_MS = 253_402_300_799_000
"""The last second of the year 9999, which is as far as dates can be written."""

Milliseconds = Annotated[int, Field(ge=0, le=LAST_MS)]

_ID = re.compile(r"[0-9a-f]{4,64}")


class KeyRecord(BaseModel):
    """One key. Times are milliseconds since 1970. In JSON its names are camelCase, and unknown ones are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    key_hash: KeyHash
    user: str | None = None
    permissions: tuple[str, ...] = ()
    limits: dict[str, int | None] = Field(default_factory=dict)
    """By wire names (`common.limits`); `None` takes a limit away."""
    name: str | None = None
    created_at: Milliseconds | None = None
    expires_at: Milliseconds | None = None
    revoked_at: Milliseconds | None = None

    @property
    def id(self) -> str:
        return key_id(self.key_hash)

    def expired(self, now_ms: int) -> bool:
        return self.expires_at is not None and now_ms >= self.expires_at

    def status(self, now_ms: int) -> str:
        """`revoked`, `expired` or `active`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expired(now_ms) else "active"


def key_id(key_hash: KeyHash) -> str:
    """The first 12 hex digits of the hash: 48 bits, enough to tell keys apart and useless to an attacker."""
    return key_hash[:ID_DIGITS]


def is_id(text: str) -> bool:
    """Whether this may name a key: at least 4 hex digits of its hash."""
    return _ID.fullmatch(text) is not None


def is_hash(text: str) -> bool:
    return len(text) == HASH_DIGITS and is_id(text)
