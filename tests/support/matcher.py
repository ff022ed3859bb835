"""What clients must get, said once more in plain words: filters as docs/protocol.md has them, without an index, a room or a canonical form.

Deliberately imports nothing of the product, so that a mistake there cannot be repeated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

JsonObject = Mapping[str, Any]

CHANNELS = {
    "price_update": "prices",
    "tvl_update": "tvl",
    "protocol_update": "protocols",
    "alert": "alerts",
    "liquidation": "liquidations",
    "governance": "governance",
    "emission": "emissions",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """One subscription, as a client writes it."""

    channel: str
    filters: JsonObject


def reaches(update: JsonObject, wishes: Iterable[Wish], user: str) -> bool:
    """Whether a connection of `user` with these subscriptions must get the update."""
    return any(_selected(update, wish, user) for wish in wishes)


def matches(update: JsonObject, filters: JsonObject) -> bool:
    """Whether every given filter selects the update."""
    return all(_TESTS[name](update, wanted) for name, wanted in filters.items())


def _selected(update: JsonObject, wish: Wish, user: str) -> bool:
    if CHANNELS[update["type"]] != wish.channel or not matches(update, wish.filters):
        return False
    owner = update.get("userId")
    return owner is None or owner.strip() in {user, str(wish.filters.get("userId", user)).strip()}


def _protocols(update: JsonObject, wanted: list[str]) -> bool:
    return _folded(update.get("protocolId")) in [_folded(each) for each in wanted]


def _tokens(update: JsonObject, wanted: list[str]) -> bool:
    return _token(update.get("tokenId")) in [_token(each) for each in wanted]


def _chains(update: JsonObject, wanted: list[str]) -> bool:
    own = [*_listed(update.get("chain")), *_listed(update.get("chains"))]
    return any(_folded(one) == _folded(other) for one in own for other in wanted)


def _user(update: JsonObject, wanted: str) -> bool:
    owner = update.get("userId")
    return owner is not None and owner.strip() == wanted.strip()


def _not_below(update: JsonObject, bound: float) -> bool:
    value = update.get("value")
    return value is not None and value >= bound


def _not_above(update: JsonObject, bound: float) -> bool:
    value = update.get("value")
    return value is not None and value <= bound


_TESTS: dict[str, Callable[[JsonObject, Any], bool]] = {
    "protocolIds": _protocols,
    "tokenIds": _tokens,
    "chains": _chains,
    "userId": _user,
    "minValue": _not_below,
    "maxValue": _not_above,
}


def _listed(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _folded(text: str | None) -> str | None:
    return None if text is None else text.strip().lower()


def _token(text: str | None) -> str | None:
    """Parts between colons that begin with 0x compare without case."""
    if text is None:
        return None
    return ":".join(part.lower() if part[:2].lower() == "0x" else part for part in text.strip().split(":"))
