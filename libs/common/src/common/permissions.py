"""What a key may do: `channel:<name>`, `channel:*`, `broadcast`, `users:*`, `*`."""

from __future__ import annotations

from collections.abc import Iterable

from common.channels import Channel
from common.errors import FieldError

ALL = "*"
ALL_CHANNELS = "channel:*"
ALL_USERS = "users:*"
BROADCAST = "broadcast"
KNOWN = (ALL, ALL_CHANNELS, ALL_USERS, BROADCAST, *(f"channel:{channel.value}" for channel in Channel))


def check_permissions(permissions: Iterable[str]) -> None:
    """Raises `FieldError` for a permission that means nothing."""
    for permission in permissions:
        if permission not in KNOWN:
            raise FieldError(f"unknown permission {permission!r}; known are {', '.join(KNOWN)}", field="permissions")


def may_subscribe(permissions: frozenset[str], channel: Channel) -> bool:
    return not permissions.isdisjoint((ALL, ALL_CHANNELS, f"channel:{channel.value}"))


def may_broadcast(permissions: frozenset[str]) -> bool:
    return not permissions.isdisjoint((ALL, BROADCAST))


def may_see_user(permissions: frozenset[str], user: str | None, other: str) -> bool:
    """Whether a key of `user` may filter by `other`."""
    return user == other or not permissions.isdisjoint((ALL, ALL_USERS))
