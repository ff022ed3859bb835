"""What slots are told, by kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from common.deliveries import Activated, Began, Item, OperatorMessage, Progress, Replayed, Routed, TookOver

Told = TypeVar("Told", Routed, Activated, TookOver, Progress, OperatorMessage, Began, Replayed)


def all_of(kind: type[Told], items: Iterable[Item]) -> list[Told]:
    """The items. Asserts that each is of the kind."""
    found: list[Told] = []
    for item in items:
        assert isinstance(item, kind)
        found.append(item)
    return found
