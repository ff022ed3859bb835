"""What clients tell of what they were handed: the form in which the crowd's process gives it to the judge. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

Received = tuple[int, int, int, float]
"""Partition, offset, number of the update, seconds since 1970."""


class SubscriptionAccount(msgspec.Struct):
    """One subscription of an application, over all its starts: `starts` has what each of them was handed, in order.

    `alone`: the only one of its channel, so that a start from its cursor repeats nothing. `start`: the cursor of the first confirmation;
    `cursor`: the last one that the application saw. `error`: what ended it, None as it should be.
    """

    channel: str
    filters: dict[str, Any]
    alone: bool
    start: str | None = None
    starts: list[list[Received]] = msgspec.field(default_factory=lambda: [[]])
    cursor: str | None = None
    error: str | None = None


class Conflated(msgspec.Struct):
    """What the server said that it spared a connection."""

    channel: str
    count: int
    first: str | None
    last: str | None
    at: float


class ClientAccount(msgspec.Struct):
    """`timeline`: seconds since 1970, and what happened to the client then."""

    name: str
    user: str
    front: str
    subscriptions: list[SubscriptionAccount]
    conflated: list[Conflated] = msgspec.field(default_factory=list)
    timeline: list[tuple[float, str]] = msgspec.field(default_factory=list)


class Member(msgspec.Struct):
    """One client for the crowd to run."""

    account: ClientAccount
    url: str
    key: str
    buffer: int


class Orders(msgspec.Struct):
    """What the crowd's process is started with."""

    seed: str
    members: list[Member]
    broken: str | None = None
