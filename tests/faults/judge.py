"""Compares what clients were handed with what the topics hold, by the plain matcher alone. Pure.

| finding | |
|---|---|
| missing | an update after the subscription's start that its filters select was not handed to it |
| repeated | an update was handed to it twice |
| disordered | an update came after a later one of the same key and partition |
| leaked | a private update of another user |
| unwanted | an update that the filters do not select, or that the topic does not hold |
| ended | the subscription ended with an error |
| unmoved | its last cursor leads behind an update that it had not been handed, or it has none |

Of a client that was told `conflated`, updates of that channel may be missing: as many as it was told of, at most, and only where a newer
one of the same entity came. Those are counted as `spared`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.accounts import ClientAccount, Received, SubscriptionAccount
from tests.faults.updates import STATE_CHANNELS
from tests.support.matcher import Wish, matches, reaches

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a channel's topic; `update` is None where it is none."""

    partition: int
    offset: int
    key: str | None
    update: Mapping[str, Any] | None
    at: float

    @property
    def place(self) -> Place:
        return self.partition, self.offset


Log = Mapping[str, list[Entry]]
"""Channel -> its whole topic, in order of each partition."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    client: str
    channel: str
    filters: Mapping[str, Any]
    place: Place | None
    detail: str


@dataclass(slots=True)
class Verdict:
    checked: int = 0
    """Deliveries that were compared: those handed over and those missing."""
    spared: int = 0
    told_conflated: int = 0
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(each.kind == kind for each in self.findings)


def judge(log: Log, accounts: Iterable[ClientAccount]) -> Verdict:
    verdict = Verdict()
    entries = {channel: {entry.place: entry for entry in whole} for channel, whole in log.items()}
    for account in accounts:
        missing: list[tuple[SubscriptionAccount, Entry]] = []
        for subscription in account.subscriptions:
            bench = _Bench(account, subscription, entries.get(subscription.channel, {}), verdict)
            missing += [(subscription, entry) for entry in bench.judge()]
        _judge_missing(account, missing, entries, verdict)
    return verdict


@dataclass(slots=True)
class _Bench:
    """One subscription before the judge."""

    account: ClientAccount
    subscription: SubscriptionAccount
    entries: Mapping[Place, Entry]
    verdict: Verdict

    def judge(self) -> list[Entry]:
        """What is missing; all else is in the verdict."""
        if self.subscription.error:
            self._find("ended", None, self.subscription.error)
        for start in self.subscription.starts:
            self._judge_order(start)
        had = [received[:2] for start in self.subscription.starts for received in start]
        self._judge_repeats(had)
        for received in (each for start in self.subscription.starts for each in start):
            self._judge_one(received)
        missing = self._missing(set(had))
        self.verdict.checked += len(had) + len(missing)
        return missing

    def _judge_order(self, start: list[Received]) -> None:
        last: dict[tuple[int, str | None], int] = {}
        for partition, offset, *_ in start:
            entry = self.entries.get((partition, offset))
            if entry is None or entry.key is None:
                continue
            if offset < last.get((partition, entry.key), -1):
                self._find("disordered", (partition, offset), f"after {last[partition, entry.key]} of {entry.key}")
            last[partition, entry.key] = max(offset, last.get((partition, entry.key), -1))

    def _judge_repeats(self, had: list[Place]) -> None:
        # A start from a cursor that moved with heartbeats only may repeat what the start before had.
        parts = [had] if self.subscription.alone else [[each[:2] for each in s] for s in self.subscription.starts]
        for part in parts:
            for place, times in Counter(part).items():
                if times > 1:
                    self._find("repeated", place, f"{times} times")

    def _judge_one(self, received: Received) -> None:
        partition, offset, number, _at = received
        entry = self.entries.get((partition, offset))
        if entry is None or entry.update is None or entry.update["data"]["number"] != number:
            self._find("unwanted", (partition, offset), f"the topic has {entry}, not update {number}")
        elif not self._is_for(entry):
            wish = matches(entry.update, self.subscription.filters)
            owner = entry.update.get("userId")
            self._find("leaked" if wish and owner else "unwanted", entry.place, f"{entry.update}")

    def _missing(self, had: set[Place]) -> list[Entry]:
        if self.subscription.start is None:
            self._find("unmoved", None, "it was never told a cursor")
            return []
        start = offsets(self.subscription.start)
        return [
            entry
            for place, entry in self.entries.items()
            if entry.offset > start.get(entry.partition, -1) and place not in had and self._is_for(entry)
        ]

    def _is_for(self, entry: Entry) -> bool:
        if entry.update is None:
            return False
        wish = Wish(self.subscription.channel, self.subscription.filters)
        return reaches(entry.update, [wish], self.account.user)

    def _find(self, kind: str, place: Place | None, detail: str) -> None:
        found = Finding(
            kind, self.account.name, self.subscription.channel, self.subscription.filters, place, detail[:600]
        )
        self.verdict.findings.append(found)


def offsets(cursor: str) -> dict[int, int]:
    """Partition -> last offset had."""
    pairs = (pair.split(":") for pair in cursor.partition(".")[2].split(",") if pair)
    return {int(partition): int(offset) for partition, offset in pairs}


def _judge_missing(
    account: ClientAccount,
    missing: list[tuple[SubscriptionAccount, Entry]],
    entries: Mapping[str, Mapping[Place, Entry]],
    verdict: Verdict,
) -> None:
    """What the client was told to be spared is no loss."""
    told: Counter[str] = Counter()
    for each in account.conflated:
        told[each.channel] += each.count
    verdict.told_conflated += told.total()
    newest = _newest(account, entries)
    spared: dict[str, set[Place]] = defaultdict(set)
    for subscription, entry in missing:
        channel = subscription.channel
        superseded = newest.get((channel, entry.partition, entry.key), -1) > entry.offset
        if channel in STATE_CHANNELS and told[channel] and superseded:
            spared[channel].add(entry.place)
            continue
        verdict.findings.append(
            Finding(
                "missing",
                account.name,
                channel,
                subscription.filters,
                entry.place,
                f"{entry.at:.3f} {entry.update}"[:600],
            )
        )
    for channel, places in spared.items():
        verdict.spared += len(places)
        if len(places) > told[channel]:
            verdict.findings.append(
                Finding("missing", account.name, channel, {}, None, f"{len(places)} spared, told of {told[channel]}")
            )


def _newest(
    account: ClientAccount, entries: Mapping[str, Mapping[Place, Entry]]
) -> dict[tuple[str, int, str | None], int]:
    """(Channel, partition, key) -> the last offset of it that any subscription of the client was handed."""
    newest: dict[tuple[str, int, str | None], int] = {}
    for subscription in account.subscriptions:
        for partition, offset, *_ in (each for start in subscription.starts for each in start):
            entry = entries[subscription.channel].get((partition, offset))
            if entry is not None:
                name = (subscription.channel, partition, entry.key)
                newest[name] = max(offset, newest.get(name, -1))
    return newest
