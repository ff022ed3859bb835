"""Python client of defistream: real-time DeFi market data over WebSockets, each client getting only what its filters select."""

from defistream import events
from defistream.channels import CHANNELS
from defistream.client import Client
from defistream.errors import (
    AuthenticationFailed,
    ConnectionClosed,
    ConnectionFailed,
    CursorExpired,
    DefistreamError,
    InvalidArgument,
    SubscriptionRefused,
    SubscriptionTimeout,
)
from defistream.inbox import Overflow
from defistream.subscription import Subscription
from defistream.updates import Update

__all__ = [
    "CHANNELS",
    "AuthenticationFailed",
    "Client",
    "ConnectionClosed",
    "ConnectionFailed",
    "CursorExpired",
    "DefistreamError",
    "InvalidArgument",
    "Overflow",
    "Subscription",
    "SubscriptionRefused",
    "SubscriptionTimeout",
    "Update",
    "events",
]
