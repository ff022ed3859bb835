"""What a gateway does with one connection and one channel, in memory: rooms, live updates, replays, conflation. Nothing is timed.

Commands and frames wait in queues, so that they cross; a lost connection loses what is under way.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

from defistream.filters import Filters, make_filters
from defistream.updates import Update

PARTITIONS = 2
EPOCH = "k3f9"
Json = dict[str, Any]


@dataclass(slots=True)
class Room:
    """`had`: partition -> last offset that it had; live where `joined`. `command`: the subscribe whose past is not at its end."""

    filters: Filters
    had: dict[int, int]
    joined: set[int] = field(default_factory=set)
    command: int | None = None
    count: int = 0


class GatewayModel:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.log: list[list[Update]] = [[] for _ in range(PARTITIONS)]
        self.commands: deque[Json] = deque()
        self.frames: deque[Json] = deque()
        self.rooms: dict[str, Room] = {}
        self.conflated: set[Update] = set()

    def lose_connection(self) -> None:
        self.commands.clear()
        self.frames.clear()
        self.rooms.clear()

    @property
    def is_busy(self) -> bool:
        """Whether something is under way."""
        behind = any(len(room.joined) < PARTITIONS for room in self.rooms.values())
        return bool(self.commands or self.frames or behind)

    def publish(self, token: str, value: int) -> None:
        """Entities have a partition each, as Kafka keys have."""
        partition = ord(token) % PARTITIONS
        offset = len(self.log[partition])
        fields = {"type": "price_update", "channel": "prices", "id": f"{partition}:{offset}"}
        update = Update("prices", fields["id"], {**fields, "tokenId": token, "value": value})
        self.log[partition].append(update)
        wanting = [one for one in self.rooms.values() if partition in one.joined and one.filters.matches(update)]
        for room in wanting:
            room.had[partition] = offset
            room.count += room.command is not None
        if wanting:
            self.frames.append({**update.raw, "live": True})

    def take_command(self) -> None:
        if not self.commands:
            return
        command = self.commands.popleft()
        if command["type"] == "subscribe":
            self._subscribe(command)
        elif command["type"] == "unsubscribe":
            self.rooms.pop(command["room"], None)
            self.frames.append({"type": "unsubscribed", "id": command["id"]})

    def replay(self) -> None:
        """One update more of one room's past, or the end of it in one partition."""
        behind = [
            (room, name, partition)
            for name, room in self.rooms.items()
            for partition in range(PARTITIONS)
            if partition not in room.joined
        ]
        if not behind:
            return
        room, name, partition = self.random.choice(behind)
        for offset in range(room.had.get(partition, -1) + 1, len(self.log[partition])):
            update = self.log[partition][offset]
            room.had[partition] = offset
            if room.filters.matches(update):
                room.count += 1
                self.frames.append(dict(update.raw))
                return
        room.joined.add(partition)
        if len(room.joined) == PARTITIONS:
            end = {"type": "replay_end", "id": room.command, "room": name, "count": room.count}
            self.frames.append({**end, "cursor": self._cursor()})
            room.command = None

    def heartbeat(self) -> None:
        behind = any(room.command is not None for room in self.rooms.values())
        cursors = {"prices": self._cursor()} if self.rooms and not behind else {}
        self.frames.append({"type": "heartbeat", "cursors": cursors})

    def conflate(self) -> None:
        """A waiting live update that a later waiting one of its entity supersedes is spared."""
        last: dict[str, Json] = {}
        spared = []
        for frame in reversed([each for each in self.frames if each.get("live")]):
            if frame["tokenId"] in last:
                spared.append(frame)
            last.setdefault(frame["tokenId"], frame)
        for frame in spared:
            self.frames.remove(frame)
            self.conflated.add(Update("prices", frame["id"], frame))
        if spared:
            told = {"channel": "prices", "n": len(spared), "from": spared[-1]["id"], "to": spared[0]["id"]}
            self.frames.appendleft({"type": "conflated", **told})

    def _subscribe(self, command: Json) -> None:
        given = command.get("filters", {})
        filters = make_filters(token_ids=given.get("tokenIds"), min_value=given.get("minValue"))
        name = f"prices:{json.dumps(given, sort_keys=True)}"
        since = command.get("since")
        if since is None:
            live = {partition: len(self.log[partition]) - 1 for partition in range(PARTITIONS)}
            self.rooms.setdefault(name, Room(filters, live, set(range(PARTITIONS))))
        else:
            pairs = [pair.split(":") for pair in since.partition(".")[2].split(",") if pair]
            had = {int(partition): int(offset) for partition, offset in pairs}
            self.rooms[name] = Room(filters, had, command=command["id"])
        answer = {"type": "subscribed", "id": command["id"], "channel": "prices", "room": name}
        self.frames.append({**answer, "cursor": since or self._cursor()})

    def _cursor(self) -> str:
        return f"{EPOCH}." + ",".join(f"{number}:{len(log) - 1}" for number, log in enumerate(self.log) if log)
