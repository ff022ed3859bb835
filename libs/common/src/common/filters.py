"""Filters: what a client selects of a channel, in one canonical form (docs/protocol.md).

    {"chains": ["Ethereum", "base "], "minValue": 1000.0}  ->  Filter(chains=("base", "ethereum"), min_value=1000)

Two filters that select the same by these rules are equal, hash equal and give the same canonical JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from common.errors import InvalidFilter

MAX_VALUES = 100
MAX_VALUE_LENGTH = 256
_EXACT_INTEGER = 2**53
_HEX_PART = re.compile(r"(?<![0-9A-Za-z])0[xX][0-9A-Fa-f]+")


def normalize_exact(value: str) -> str:
    return value.strip()


def normalize_folded(value: str) -> str:
    """Protocol ids and chains compare without case."""
    return value.strip().lower()


def normalize_token(value: str) -> str:
    """`0x...` parts of a token id compare without case, all else exactly."""
    value = value.strip()
    return _HEX_PART.sub(lambda part: part.group().lower(), value) if "0x" in value or "0X" in value else value


@dataclass(frozen=True, slots=True)
class Filter:
    """A canonical filter; build it with `parse_filter`. Every given part must match; `None` and empty mean "not given"."""

    chains: tuple[str, ...] = ()
    max_value: float | None = None
    min_value: float | None = None
    protocol_ids: tuple[str, ...] = ()
    token_ids: tuple[str, ...] = ()
    user_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire form, keys in alphabetical order, only what was given."""
        pairs = ((_WIRE_NAMES[field.name], getattr(self, field.name)) for field in fields(self))
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in pairs if value not in (None, ())
        }

    def canonical(self) -> bytes:
        """Canonical JSON: the bytes from which a room's id is made."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_SORT_KEYS)


_WIRE_NAMES = {
    "chains": "chains",
    "max_value": "maxValue",
    "min_value": "minValue",
    "protocol_ids": "protocolIds",
    "token_ids": "tokenIds",
    "user_id": "userId",
}

EVERYTHING = Filter()


def parse_filter(raw: object, *, max_values: int = MAX_VALUES) -> Filter:
    """The canonical filter that a client's or a producer's JSON means.

    Raises `InvalidFilter`, which names the field: an unknown name, a wrong type, an empty or too long list, a number that is not
    finite, or `minValue` above `maxValue`.
    """
    if raw is None:
        return EVERYTHING
    if not isinstance(raw, Mapping):
        raise InvalidFilter(f"filters must be an object, not {_kind(raw)}", field="filters")
    given: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in _PARSERS:
            raise InvalidFilter(
                f"unknown filter {name!r}; known are {', '.join(sorted(_PARSERS))}", field=f"filters.{name}"
            )
        attribute, parse = _PARSERS[name]
        given[attribute] = parse(f"filters.{name}", value, max_values)
    parsed = Filter(**given)
    if parsed.min_value is not None and parsed.max_value is not None and parsed.min_value > parsed.max_value:
        raise InvalidFilter(
            f"minValue {parsed.min_value} is above maxValue {parsed.max_value}", field="filters.minValue"
        )
    return parsed


def _strings(normalize: Callable[[str], str]) -> Callable[[str, object, int], tuple[str, ...]]:
    def parse(field: str, value: object, max_values: int) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise InvalidFilter(f"{field} must be a list of strings, not {_kind(value)}", field=field)
        if not 1 <= len(value) <= max_values:
            raise InvalidFilter(f"{field} must have 1 to {max_values} values, not {len(value)}", field=field)
        return tuple(sorted({_string(f"{field}[{n}]", item, normalize) for n, item in enumerate(value)}))

    return parse


def _string(field: str, value: object, normalize: Callable[[str], str]) -> str:
    if not isinstance(value, str):
        raise InvalidFilter(f"{field} must be a string, not {_kind(value)}", field=field)
    normal = normalize(value)
    if not 1 <= len(normal) <= MAX_VALUE_LENGTH:
        raise InvalidFilter(f"{field} must have 1 to {MAX_VALUE_LENGTH} characters", field=field)
    return normal


def _user(field: str, value: object, _max_values: int) -> str:
    return _string(field, value, normalize_exact)


def _number(field: str, value: object, _max_values: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidFilter(f"{field} must be a number, not {_kind(value)}", field=field)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidFilter(f"{field} must be a finite number", field=field)
    # 1 and 1.0 are one bound; beyond 2^53 a float is the canonical form, as it is what gets compared.
    return int(number) if number.is_integer() and abs(number) <= _EXACT_INTEGER else number


def _kind(value: object) -> str:
    """The JSON name of a value's type, for messages to people who write JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


_PARSERS: dict[str, tuple[str, Callable[[str, object, int], Any]]] = {
    "chains": ("chains", _strings(normalize_folded)),
    "maxValue": ("max_value", _number),
    "minValue": ("min_value", _number),
    "protocolIds": ("protocol_ids", _strings(normalize_folded)),
    "tokenIds": ("token_ids", _strings(normalize_token)),
    "userId": ("user_id", _user),
}
