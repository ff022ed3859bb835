"""Numbered updates of all channels, drawn from a seed so that filters overlap and values lie on bounds. Pure."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.matcher import CHANNELS
from tests.support.samples import TYPES

STATE_CHANNELS = ("prices", "tvl", "protocols")
TOKENS = [f"coingecko:token-{number}" for number in range(40)] + [f"ethereum:0x{number:02x}ab" for number in range(20)]
PROTOCOLS = [f"protocol-{number}" for number in range(40)]
CHAINS = ["ethereum", "base", "arbitrum", "optimism", "polygon", "solana", "bsc", "tron"]
USERS = [f"user-{number}" for number in range(8)]
BOUNDS = [0, 10, 25, 40, 50, 60, 75, 90, 100]
"""What clients filter by; half of the values lie on one of them, or a hair beside it."""

MARK = "marker"
MARK_VALUE = 50
PRIVATE_SHARE = 0.1
BAD_SHARE = 0.01
TOMBSTONE_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Record:
    """What is written to a channel's topic."""

    channel: str
    key: str | None
    value: bytes | None


def records(seed: str) -> Iterator[Record]:
    """Without end. A few are no updates: they must reach nobody."""
    draw = random.Random(seed)
    number = 0
    while True:
        number += 1
        channel = draw.choice(list(TYPES))
        update = _update(draw, channel, number)
        key = _key(update, channel)
        kind = draw.random()
        if kind < BAD_SHARE:
            yield Record(channel, key, draw.choice([b"{", b'{"type": "nonsense"}', b"\xff", b"[]"]))
        elif kind < BAD_SHARE + TOMBSTONE_SHARE and channel in STATE_CHANNELS:
            yield Record(channel, key, None)
        else:
            yield Record(channel, key, json.dumps(update).encode())


def marks(channel: str, users: list[str]) -> list[bytes]:
    """Updates that each client of the channel gets at least one of: a public one, and one for each of the users."""
    public = {
        "type": TYPES[channel],
        "tokenId": MARK,
        "protocolId": MARK,
        "chains": [MARK],
        "value": MARK_VALUE,
        "data": {"number": 0},
    }
    return [json.dumps(update).encode() for update in (public, *({**public, "userId": user} for user in users))]


def deliverable(value: bytes | None) -> dict[str, Any] | None:
    """The update in a record, None for one that is no update."""
    try:
        update = json.loads(value or b"")
    except ValueError:
        return None
    return update if isinstance(update, dict) and update.get("type") in CHANNELS else None


def _update(draw: random.Random, channel: str, number: int) -> dict[str, Any]:
    token, protocol = draw.choice(TOKENS), draw.choice(PROTOCOLS)
    update: dict[str, Any] = {"type": TYPES[channel], "data": {"number": number, "text": "x" * _length(draw)}}
    if channel == "prices" or draw.random() < 0.5:
        update["tokenId"] = _other_case(token) if draw.random() < 0.1 else token
    if channel != "prices" or draw.random() < 0.3:
        update["protocolId"] = protocol.upper() if draw.random() < 0.1 else protocol
    if draw.random() < 0.8:
        update |= {"chain": draw.choice(CHAINS)} if draw.random() < 0.6 else {"chains": draw.sample(CHAINS, 2)}
    if draw.random() < 0.9:
        update["value"] = _value(draw)
    if draw.random() < PRIVATE_SHARE:
        update["userId"] = draw.choice(USERS)
    return update


def _other_case(token: str) -> str:
    """The same token, written otherwise where case does not count."""
    chain, _, address = token.partition(":")
    return f"{chain}:0x{address[2:].upper()}" if address.startswith("0x") else token


def _key(update: dict[str, Any], channel: str) -> str | None:
    entity = update.get("tokenId") if channel == "prices" else update.get("protocolId")
    return None if entity is None else str(entity).lower()


def _value(draw: random.Random) -> float:
    if draw.random() < 0.5:
        return draw.choice(BOUNDS) + draw.choice([0, 0, 1e-9, -1e-9])
    return round(draw.uniform(-5, 105), 2)


def _length(draw: random.Random) -> int:
    """Bytes of padding: mostly small, some large."""
    return draw.choices([20, 200, 2000, 20_000], [55, 30, 12, 3])[0]
