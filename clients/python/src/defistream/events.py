"""What the client tells beside updates: hand a function to `Client(..., on_event=...)` and `match` on these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Connected:
    """Authenticated, at first or again."""

    connection_id: str
    user: str | None


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription is in effect, at first or again: from `cursor` on nothing is missed."""

    channel: str
    room: str
    filters: Mapping[str, Any]
    """Canonical, as on the wire."""
    cursor: str | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All that `since`, `snapshot` or an interruption made a subscription ask for has come: `count` updates, up to `cursor`.

    `snapshot`: these were last values. `expired`: instead of what followed a cursor, which is no longer kept, so that updates
    that were superseded meanwhile are missing. Told when it was read: some may still wait for the application
    (`Subscription.caught_up`).
    """

    channel: str
    room: str
    cursor: str
    count: int
    snapshot: bool
    expired: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A subscription goes on, and what came between `since` and `cursor` was not sent. Some of it, or none, may have matched the filters.

    After an interruption only without `resume`; while connected, where the server says (`notice updates_lost`) that updates
    were deleted before it could send them.
    """

    channel: str
    room: str
    since: str
    cursor: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection ended, or could not be opened; the next attempt is in `after` seconds."""

    after: float
    code: int | None
    """Close code, `None` where no connection was open."""
    reason: str


@dataclass(frozen=True, slots=True)
class Resubscribing:
    """The server cannot serve a subscription now; it is asked again in `after` seconds."""

    channel: str
    after: float
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """The server warns: `draining`, `expiring`, `slow_consumer`, `degraded`, `recovered`, `updates_lost`."""

    kind: str
    message: str
    raw: Mapping[str, Any] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Broadcast:
    """An operator's message, to everyone (`channel` is `None`) or to a channel's subscribers."""

    channel: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class Conflated:
    """This connection was slow: `count` updates of `channel`, of ids `first` to `last`, were replaced by newer ones of their entity."""

    channel: str
    count: int
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Complaint:
    """The server objects to something that no subscription answers for."""

    code: str
    message: str


Event = (
    Connected | Subscribed | CaughtUp | Gap | Reconnecting | Resubscribing | Notice | Broadcast | Conflated | Complaint
)
