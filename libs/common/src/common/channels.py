"""The seven channels, the update type that each carries, and what may be done with them."""

from __future__ import annotations

from enum import StrEnum


class Channel(StrEnum):
    PRICES = "prices"
    TVL = "tvl"
    PROTOCOLS = "protocols"
    ALERTS = "alerts"
    LIQUIDATIONS = "liquidations"
    GOVERNANCE = "governance"
    EMISSIONS = "emissions"


CHANNEL_OF_TYPE = {
    "price_update": Channel.PRICES,
    "tvl_update": Channel.TVL,
    "protocol_update": Channel.PROTOCOLS,
    "alert": Channel.ALERTS,
    "liquidation": Channel.LIQUIDATIONS,
    "governance": Channel.GOVERNANCE,
    "emission": Channel.EMISSIONS,
}

STATE_CHANNELS = frozenset({Channel.PRICES, Channel.TVL, Channel.PROTOCOLS})
"""Channels whose updates are the newest value of an entity: compacted, conflatable, with snapshots. The others carry events."""

SYSTEM = "system"
"""Source of operator broadcasts; not a channel that a client can subscribe to."""
