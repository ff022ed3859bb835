"""Filters: what a subscription selects of its channel, in the server's canonical form.

The server does the selecting. The client matches only where one connection has several subscriptions of a channel: an update
comes once, without saying which of them it is for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from defistream.errors import InvalidArgument
from defistream.updates import Update

MAX_VALUES = 100
EXACT_INTEGER = 2**53
_HEX_PART = re.compile(r"(?<![0-9A-Za-z])0[xX][0-9A-Fa-f]+")


def _exact(text: str) -> str:
    return text.strip()


def _folded(text: str) -> str:
    return text.strip().lower()


def _token(text: str) -> str:
    """`0x...` parts compare without case, all else exactly."""
    return _HEX_PART.sub(lambda part: part.group().lower(), text.strip())


@dataclass(frozen=True, slots=True)
class Filters:
    """Canonical filters: equal ones select the same. Build them with `make_filters`. All given ones must match."""

    chains: frozenset[str] = frozenset()
    max_value: float | None = None
    min_value: float | None = None
    protocol_ids: frozenset[str] = frozenset()
    token_ids: frozenset[str] = frozenset()
    user_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire's names; only what was given; lists sorted."""
        given = {
            "chains": sorted(self.chains),
            "maxValue": self.max_value,
            "minValue": self.min_value,
            "protocolIds": sorted(self.protocol_ids),
            "tokenIds": sorted(self.token_ids),
            "userId": self.user_id,
        }
        return {name: value for name, value in given.items() if value not in (None, [])}

    def matches(self, update: Update) -> bool:
        """Whether the server would send this update for these filters. An attribute that the update lacks does not match."""
        return (
            (not self.chains or any(_folded(chain) in self.chains for chain in update.chains))
            and _among(self.protocol_ids, update.protocol_id, _folded)
            and _among(self.token_ids, update.token_id, _token)
            and (self.user_id is None or (update.user_id is not None and _exact(update.user_id) == self.user_id))
            and self._in_bounds(update.value)
        )

    def may_overlap(self, other: Filters) -> bool:
        """False where no update can match both."""
        return not (
            _are_apart(self.protocol_ids, other.protocol_ids)
            or _are_apart(self.token_ids, other.token_ids)
            or _are_apart(_given(self.user_id), _given(other.user_id))
            or _is_above(self.min_value, other.max_value)
            or _is_above(other.min_value, self.max_value)
        )

    def _in_bounds(self, value: float | None) -> bool:
        if self.min_value is None and self.max_value is None:
            return True
        if value is None:
            return False
        return (self.min_value is None or value >= self.min_value) and (
            self.max_value is None or value <= self.max_value
        )


def make_filters(
    *,
    token_ids: Iterable[str] | None = None,
    protocol_ids: Iterable[str] | None = None,
    chains: Iterable[str] | None = None,
    user_id: str | None = None,
    min_value: float | None = None,
    max_value: float | None = None,
) -> Filters:
    """Canonical filters of what an application gave. Raises `InvalidArgument`, naming the argument, for what the server would refuse."""
    filters = Filters(
        chains=_values("chains", chains, _folded),
        max_value=_bound("max_value", max_value),
        min_value=_bound("min_value", min_value),
        protocol_ids=_values("protocol_ids", protocol_ids, _folded),
        token_ids=_values("token_ids", token_ids, _token),
        user_id=None if user_id is None else _text("user_id", user_id, _exact),
    )
    if filters.min_value is not None and filters.max_value is not None and filters.min_value > filters.max_value:
        raise InvalidArgument(f"min_value {min_value} is above max_value {max_value}")
    return filters


def _among(wanted: frozenset[str], given: str | None, normalize: Callable[[str], str]) -> bool:
    return not wanted or (given is not None and normalize(given) in wanted)


def _are_apart(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one) and bool(other) and one.isdisjoint(other)


def _given(value: str | None) -> frozenset[str]:
    return frozenset() if value is None else frozenset((value,))


def _is_above(least: float | None, most: float | None) -> bool:
    return least is not None and most is not None and least > most


def _values(name: str, values: Iterable[str] | None, normalize: Callable[[str], str]) -> frozenset[str]:
    if values is None:
        return frozenset()
    if isinstance(values, str):
        raise InvalidArgument(f"{name} must be a list of strings, not one string")
    normal = frozenset(_text(name, value, normalize) for value in values)
    if not 1 <= len(normal) <= MAX_VALUES:
        raise InvalidArgument(f"{name} must have 1 to {MAX_VALUES} values, not {len(normal)}")
    return normal


def _text(name: str, value: object, normalize: Callable[[str], str]) -> str:
    if not isinstance(value, str) or not (normal := normalize(value)):
        raise InvalidArgument(f"{name} must be text that is not empty, not {value!r}")
    return normal


def _bound(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidArgument(f"{name} must be a finite number, not {value!r}")
    # As the server writes it: 1 and 1.0 are one bound.
    return int(value) if abs(value) <= EXACT_INTEGER and value == int(value) else value
