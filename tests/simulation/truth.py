"""What was produced, and what of it a client must have: a plain look at the logs, without anything of the product."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from tests.support.matcher import Wish, reaches

PARTITIONS = {"prices": 2, "liquidations": 1}
STATE = frozenset({"prices"})
TYPES = {"prices": "price_update", "liquidations": "liquidation"}
ENTITIES = ("btc", "eth", "uni")
CHAINS = ("ethereum", "base")
USERS = ("nobody", "alice", "bob")
WISHES = (
    Wish("prices", {}),
    Wish("prices", {"tokenIds": ["btc", "uni"]}),
    Wish("prices", {"chains": ["base"], "minValue": 4}),
    Wish("liquidations", {}),
    Wish("liquidations", {"protocolIds": ["eth"]}),
    Wish("liquidations", {"chains": ["ethereum"], "maxValue": 6}),
)


class Failure(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True, slots=True)
class Produced:
    """A record of a source partition. `json` is `None` for what clients never see: a null, or nonsense."""

    key: str
    json: Mapping[str, Any] | None
    removes: bool = False

    def concerns(self, wish: Wish, user: str) -> bool:
        return self.json is not None and reaches(self.json, (wish,), user)


class Truth:
    """By channel and partition, in the order of offsets."""

    def __init__(self) -> None:
        self.logs = {(name, number): list[Produced]() for name, count in PARTITIONS.items() for number in range(count)}
        self.oldest = dict.fromkeys(self.logs, 0)
        """The first offset that the broker still holds."""

    def add(self, channel: str, partition: int, produced: Produced) -> None:
        self.logs[channel, partition].append(produced)

    def get(self, channel: str, partition: int, offset: int) -> Produced | None:
        log = self.logs[channel, partition]
        return log[offset] if 0 <= offset < len(log) else None

    def end(self, channel: str, partition: int) -> int:
        return len(self.logs[channel, partition])

    def owed(self, wish: Wish, user: str, partition: int, after: int, upto: int) -> Iterator[int]:
        """Offsets of what must reach a client between two cursors."""
        log = self.logs[wish.channel, partition]
        for offset in range(after + 1, upto + 1):
            if log[offset].concerns(wish, user):
                yield offset

    def is_superseded(self, wishes: Sequence[Wish], user: str, partition: int, offset: int) -> bool:
        """Whether a later update of the entity is for the client as well: then a slow one may have been spared this one."""
        log = self.logs[wishes[0].channel, partition]
        later = (each for each in log[offset + 1 :] if each.key == log[offset].key)
        return any(each.concerns(wish, user) for each in later for wish in wishes)

    def last(self, wish: Wish, user: str, partition: int, upto: int) -> Iterator[int]:
        """Offsets of the last values, as of a cursor."""
        found: dict[str, int] = {}
        for offset, each in enumerate(self.logs[wish.channel, partition][: upto + 1]):
            if each.removes:
                found.pop(each.key, None)
            elif each.json is not None:
                found[each.key] = offset
        log = self.logs[wish.channel, partition]
        return (offset for offset in found.values() if log[offset].concerns(wish, user))

    def first_last(self, channel: str, partition: int) -> int:
        """The lowest offset that is still the last value of its entity; the end where there is none, or of an event channel."""
        log = self.logs[channel, partition]
        if channel not in STATE:
            return len(log)
        last: dict[str, int] = {}
        for offset, each in enumerate(log):
            if each.removes or each.json is not None:
                last.pop(each.key, None)
            if each.json is not None:
                last[each.key] = offset
        return min(last.values(), default=len(log))

    def is_gone(self, channel: str, partition: int, offset: int, upto: int) -> bool:
        """Whether the entity was removed, or had a newer value, before `upto`."""
        log = self.logs[channel, partition]
        return any(
            each.key == log[offset].key and (each.removes or each.json is not None) for each in log[offset + 1 : upto]
        )


def invent(chance: random.Random, channel: str, number: int) -> tuple[bytes, bytes | None, Produced]:
    """A record: its key, its value, and what it is."""
    entity = chance.choice(ENTITIES)
    key = f"{entity}:{number}" if channel not in STATE and chance.random() < 0.5 else entity
    kind = chance.randrange(20)
    if kind < 2:
        # Of an event channel nothing can be removed: the record is set aside.
        return key.encode(), None, Produced(key, None, removes=channel in STATE)
    if kind == 2:
        return key.encode(), b"nonsense", Produced(key, None)
    json = _update(channel, entity, number, chance.choice(CHAINS), chance.randrange(10), chance.choice((None, *USERS)))
    return key.encode(), orjson.dumps(json), Produced(key, json)


@lru_cache(maxsize=4096)
def _update(channel: str, entity: str, number: int, chain: str, value: int, owner: str | None) -> Mapping[str, Any]:  # noqa: PLR0917
    json: dict[str, Any] = {
        "type": TYPES[channel],
        "tokenId" if channel == "prices" else "protocolId": entity,
        "chain": chain,
        "value": value,
        "data": {"number": number},
    }
    if owner not in (None, "nobody"):
        json["userId"] = owner
    return json
