"""Updates to publish, one kind a channel, and names that no other test uses."""

from __future__ import annotations

import secrets
import time
from typing import Any

from tests.support.matcher import CHANNELS

TYPES = {channel: kind for kind, channel in CHANNELS.items()}


def unique(name: str) -> str:
    """`token-3fa09c12`"""
    return f"{name}-{secrets.token_hex(4)}"


def update(channel: str, **fields: Any) -> dict[str, Any]:
    """An update of the channel's type with these fields, and a time."""
    return {"type": TYPES[channel], "timestamp": now_ms(), **fields}


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
