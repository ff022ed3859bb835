"""What a connection may do, as `welcome` and `authenticated` tell it. A key's record may raise its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from common.errors import FieldError

_WIRE_NAMES = {
    "message_bytes": "messageBytes",
    "messages_per_minute": "messagesPerMinute",
    "subscription_changes_per_minute": "subscriptionChangesPerMinute",
    "subscriptions": "subscriptions",
    "filter_values": "filterValues",
    "connections": "connections",
}
_ATTRIBUTES = {wire: attribute for attribute, wire in _WIRE_NAMES.items()}
NAMES = tuple(_ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Limits:
    """`None` is no limit. `connections` counts the open ones of a key on one gateway."""

    message_bytes: int = 32 * 1024
    messages_per_minute: int | None = 1000
    subscription_changes_per_minute: int | None = 60
    subscriptions: int | None = 100
    filter_values: int = 100
    connections: int | None = None

    def to_json(self) -> dict[str, int | None]:
        return {wire: getattr(self, name) for name, wire in _WIRE_NAMES.items()}

    def with_overrides(self, overrides: Mapping[str, int | None]) -> Limits:
        """These limits with a key's own, given by their wire names; `null` takes a limit away. Unknown names are left out."""
        known: dict[str, Any] = {_ATTRIBUTES[name]: value for name, value in overrides.items() if name in _ATTRIBUTES}
        return replace(self, **known)


UNLIMITED: dict[str, int | None] = {
    "messagesPerMinute": None,
    "subscriptionChangesPerMinute": None,
    "subscriptions": None,
}
"""Overrides of a key without rate limits."""


def check_overrides(overrides: Mapping[str, int | None]) -> None:
    """Raises `FieldError` for a name that is no limit or a value that cannot be one."""
    always = {_WIRE_NAMES[field.name] for field in fields(Limits) if field.type == "int"}
    for name, value in overrides.items():
        if name not in _ATTRIBUTES:
            raise FieldError(f"unknown limit {name!r}; known are {', '.join(NAMES)}", field=name)
        if value is None and name not in always:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise FieldError(f"limit {name} must be a whole number above 0", field=name)
