"""Who listens: clients with random subscriptions, drawn from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.updates import BOUNDS, CHAINS, MARK, MARK_VALUE, PROTOCOLS, TOKENS, USERS
from tests.support.matcher import Wish
from tests.support.samples import TYPES

AUDITOR = "auditor"
"""A user whose key may filter by the user of others."""

FRONTS = ("first", "second", "either")
"""Where a client connects: always to one of the two gateways, or to either."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One client: at most one subscription of a channel where `alone`, so that its cursor moves with each update."""

    name: str
    user: str
    front: str
    buffer: int
    wishes: tuple[Wish, ...]

    def alone(self, wish: Wish) -> bool:
        return sum(each.channel == wish.channel for each in self.wishes) == 1


def listeners(seed: str, number: int) -> list[Listener]:
    draw = random.Random(seed)
    return [_listener(draw, index) for index in range(number)]


def marked_users(audience: list[Listener]) -> dict[str, list[str]]:
    """Channel -> users by whom somebody filters it: those get marks of their own."""
    users: dict[str, set[str]] = {channel: set() for channel in TYPES}
    for listener in audience:
        for wish in listener.wishes:
            if "userId" in wish.filters:
                users[wish.channel].add(wish.filters["userId"])
    return {channel: sorted(each) for channel, each in users.items()}


def _listener(draw: random.Random, index: int) -> Listener:
    user = AUDITOR if draw.random() < 0.03 else draw.choice(USERS)
    channels = draw.sample(list(TYPES), draw.choices([1, 2, 4], [60, 30, 10])[0])
    if user != AUDITOR and draw.random() < 0.2:
        channels = [channels[0]] * draw.randint(2, 3)
    wishes = {repr(wish): wish for wish in (_wish(draw, channel, user) for channel in channels)}
    return Listener(
        name=f"client-{index:03}",
        user=user,
        front=draw.choice(FRONTS),
        buffer=draw.choice([5, 100, 1000]),
        wishes=tuple(wishes.values()),
    )


def _wish(draw: random.Random, channel: str, user: str) -> Wish:
    if user == AUDITOR:
        return Wish(channel, {"userId": draw.choice(USERS)})
    if draw.random() < 0.05:
        return Wish(channel, {})
    filters: dict[str, Any] = {}
    for part in draw.sample(_PARTS, draw.choices([1, 2], [70, 30])[0]):
        filters |= part(draw)
    if draw.random() < 0.05:
        filters["userId"] = user
    return Wish(channel, filters)


def _tokens(draw: random.Random) -> dict[str, Any]:
    return {"tokenIds": [*draw.sample(TOKENS, draw.randint(3, 12)), MARK]}


def _protocols(draw: random.Random) -> dict[str, Any]:
    return {"protocolIds": [*draw.sample(PROTOCOLS, draw.randint(3, 12)), MARK]}


def _chains(draw: random.Random) -> dict[str, Any]:
    return {"chains": [*draw.sample(CHAINS, draw.randint(1, 2)), MARK]}


def _low(draw: random.Random) -> dict[str, Any]:
    return {"minValue": draw.choice([bound for bound in BOUNDS if bound <= MARK_VALUE])}


def _high(draw: random.Random) -> dict[str, Any]:
    return {"maxValue": draw.choice([bound for bound in BOUNDS if bound >= MARK_VALUE])}


_PARTS: list[Callable[[random.Random], dict[str, Any]]] = [_tokens, _protocols, _chains, _low, _high]
