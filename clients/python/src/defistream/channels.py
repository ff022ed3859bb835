"""The channels, and the short form that stands for one protocol."""

from __future__ import annotations

from defistream.errors import InvalidArgument

CHANNELS = ("prices", "tvl", "protocols", "alerts", "liquidations", "governance", "emissions")
STATE_CHANNELS = CHANNELS[:3]
"""Those that say how things are now: of each entity the newest update is what counts, and snapshots have it."""

PROTOCOL_PREFIX = "protocol:"


def parse_channel(text: str) -> tuple[str, str | None]:
    """The channel, and the protocol id of the short form `protocol:<id>`. Raises `InvalidArgument` for an unknown channel."""
    name = text.strip()
    if name in CHANNELS:
        return name, None
    protocol = name.removeprefix(PROTOCOL_PREFIX).strip() if name.startswith(PROTOCOL_PREFIX) else ""
    if not protocol:
        raise InvalidArgument(f"unknown channel {text!r}; known are {', '.join(CHANNELS)} and protocol:<id>")
    return "protocols", protocol
