"""Clients that check each frame that they get, and each cursor that they are told, against the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from common.cursor import Cursor, parse_cursor
from tests.simulation.gateways import Gateway
from tests.simulation.sockets import CLOSE, TEXT, Socket
from tests.simulation.truth import PARTITIONS, STATE, Failure, Produced, Truth
from tests.support.matcher import Wish

_CLOSES = frozenset({4002, 4003, 4004})
"""Idle, slow consumer, slot lost."""
Place = tuple[str, int, int]
"""Channel, partition, offset."""


class State(Enum):
    IDLE = "idle"
    ASKING = "asking"
    CATCHING_UP = "catching up"
    LIVE = "live"
    LEAVING = "leaving"


@dataclass(eq=False)
class Subscription:
    """`told`: where it would resume. `checked`: up to where everything is known to be there. `ends`: of the logs when it asked."""

    number: int
    wish: Wish
    state: State = State.IDLE
    snapshot: bool = False
    told: dict[int, int] | None = None
    since: dict[int, int] | None = None
    checked: dict[int, int] = field(default_factory=dict)
    settled: dict[int, int] = field(default_factory=dict)
    """Before these it has last values only, by a snapshot."""
    spared: set[tuple[int, int]] = field(default_factory=set)
    committed: dict[int, int] = field(default_factory=dict)
    frames: int = 0
    room: str = ""


class Client:
    """`by_id`: it moves its cursor on by the id of each update. `epochs`: of the channels' streams."""

    def __init__(self, number: int, user: str, truth: Truth, epochs: dict[str, str], *, by_id: bool) -> None:
        self.number, self.user, self.by_id = number, user, by_id
        self._truth, self._epochs = truth, epochs
        self.socket: Socket | None = None
        self.subscriptions: list[Subscription] = []
        self.was_slow = False
        self._numbers = 0
        self._wished: list[Wish] = []
        self._got: set[Place] = set()
        self._here: set[Place] = set()
        self._frames = self._conflated = 0
        self._highest: dict[tuple[str, int], int] = {}
        self._shared: set[str] = set()
        self._used: set[str] = set()

    def fail(self, text: str) -> Failure:
        return Failure(f"client {self.number} {text}")

    # What it does -------------------------------------------------------------------------------------------------

    def connect(self, gateway: Gateway, committed: Any) -> None:
        self.socket = Socket(gateway, self.user)
        self._here, self._highest, self._shared, self._used = set(), {}, set(), set()
        self._frames = self._conflated = 0
        self.subscriptions = [each for each in self.subscriptions if each.state is not State.LEAVING]
        for each in self.subscriptions:
            self.ask(each, committed)

    def disconnect(self) -> None:
        if self.socket is not None:
            self.socket.lose()
        self.socket = None
        for each in self.subscriptions:
            each.state = State.LEAVING if each.state is State.LEAVING else State.IDLE

    def subscribe(
        self, wish: Wish, committed: Any, *, snapshot: bool = False, since: dict[int, int] | None = None
    ) -> None:
        if any(each.wish is wish for each in self.subscriptions):
            return
        self._numbers += 1
        added = Subscription(self._numbers, wish, snapshot=snapshot and wish.channel in STATE, told=since)
        added.checked = dict(since or {})
        self.subscriptions.append(added)
        self._wished.append(wish)
        self.ask(added, committed)

    def ask(self, what: Subscription, committed: Any) -> None:
        if self.socket is None or what.state is not State.IDLE:
            return
        channel = what.wish.channel
        if channel in self._used:
            # What another subscription of the connection had already may come once more.
            self._shared.add(channel)
        self._used.add(channel)
        what.state, what.frames = State.ASKING, 0
        what.since = dict(what.told) if what.told is not None else None
        what.committed = self._committed_when_asked(self.socket.gateway, what, committed)
        message: dict[str, Any] = {
            "type": "subscribe",
            "id": what.number,
            "channel": channel,
            "filters": what.wish.filters,
        }
        if what.since is not None:
            named = {number: offset for number, offset in what.since.items() if offset >= 0}
            message["since"] = str(Cursor(self._epochs[channel], named))
        if what.snapshot:
            message["snapshot"] = True
        self.socket.say(message)

    @staticmethod
    def _committed_when_asked(gateway: Gateway, what: Subscription, committed: Any) -> dict[int, int]:
        """Who asks for the same before the first answer shares it: its last values may be as old as the first question."""
        asking = (State.ASKING, State.CATCHING_UP)
        shared = [each.committed for each in gateway.asked if each.wish is what.wish and each.state in asking]
        gateway.asked.append(what)
        channel = what.wish.channel
        now = {number: committed(channel, number) for number in range(PARTITIONS[channel])}
        return {number: min(each[number] for each in (now, *shared)) for number in now}

    def unsubscribe(self, what: Subscription) -> None:
        if self.socket is not None and what.state in (State.LIVE, State.CATCHING_UP):
            what.state = State.LEAVING
            self.socket.say({"type": "unsubscribe", "id": what.number, "room": what.room})

    # What it hears ------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take in what has arrived."""
        socket = self.socket
        if socket is None:
            return
        for opcode, payload in socket.frames():
            if opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big")
                if code not in _CLOSES:
                    raise self.fail(f"was closed with {payload!r}")
                self.disconnect()
                return
            if opcode == TEXT:
                self._hear(orjson.loads(payload))
        if socket.is_closing():
            self.disconnect()

    def _hear(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "price_update" | "liquidation":
                self._updated(message)
            case "subscribed" | "replay_end" | "snapshot_end":
                self._answered(self._of(message), message)
            case "unsubscribed":
                self.subscriptions.remove(self._of(message))
            case "heartbeat":
                self._heartbeat(message)
            case "conflated":
                self._conflated += message["n"]
                if message["channel"] not in STATE:
                    raise self.fail("was spared events")
            case "error":
                self._refused(message)

    def _of(self, message: dict[str, Any]) -> Subscription:
        found = next((each for each in self.subscriptions if each.number == message.get("id")), None)
        if found is None:
            raise self.fail(f"has no subscription for {message}")
        return found

    def _updated(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        partition, offset = map(int, message["id"].split(":"))
        name = f"got {channel} {message['id']}"
        produced = self._truth.get(channel, partition, offset)
        if produced is None or produced.json is None or produced.json["data"] != message["data"]:
            raise self.fail(f"{name}, which was not produced so")
        mine = [
            each
            for each in self.subscriptions
            if each.state is not State.IDLE and produced.concerns(each.wish, self.user)
        ]
        if not mine:
            raise self.fail(f"{name}, which is not for it")
        self._check_order(name, (channel, partition, offset))
        self._frames += 1
        for each in mine:
            self._check_one(name, each, partition, offset, produced)
        self._got.add((channel, partition, offset))
        self._here.add((channel, partition, offset))

    def _check_order(self, name: str, place: Place) -> None:
        channel, partition, offset = place
        if channel in self._shared and self._may_repeat(channel, partition):
            return
        if place in self._here:
            raise self.fail(f"{name} twice")
        if channel not in self._shared:
            if self._highest.get((channel, partition), -1) > offset:
                raise self.fail(f"{name} late")
            self._highest[channel, partition] = offset

    def _may_repeat(self, channel: str, partition: int) -> bool:
        """Whether one subscription may get what another one of the connection has had."""
        recovered = self.socket is not None and (channel, partition) in self.socket.gateway.recovered
        behind = (State.ASKING, State.CATCHING_UP, State.LEAVING)
        return recovered or any(each.wish.channel == channel and each.state in behind for each in self.subscriptions)

    def _check_one(self, name: str, what: Subscription, partition: int, offset: int, _produced: Produced) -> None:
        what.frames += 1
        alone = what.wish.channel not in self._shared
        if alone and what.since is not None and not what.snapshot and offset <= what.since.get(partition, -1):
            raise self.fail(f"{name} again, after it had asked for what follows {what.since}")
        if what.snapshot and what.state is State.CATCHING_UP and what.since is None and alone:
            upto = what.committed[partition]
            if self._truth.is_gone(what.wish.channel, partition, offset, upto):
                raise self.fail(f"{name} in a snapshot, though it was not the last value")
        if self.by_id and alone and what.state is State.LIVE and what.told is not None:
            what.told[partition] = max(what.told.get(partition, -1), offset)

    def _answered(self, what: Subscription, message: dict[str, Any]) -> None:
        if what.state is State.LEAVING:
            return
        match message["type"]:
            case "subscribed":
                self._subscribed(what, message)
            case "replay_end":
                self._replayed(what, message)
            case _:
                self._snapshot(what, message)

    def _subscribed(self, what: Subscription, message: dict[str, Any]) -> None:
        if what.state is not State.ASKING:
            raise self.fail(f"was told {message} while {what.state.value}")
        what.room = message["room"]
        if what.since is not None or what.snapshot:
            what.state = State.CATCHING_UP
            return
        what.state = State.LIVE
        self._begin(what, message["cursor"])

    def _begin(self, what: Subscription, cursor: str) -> None:
        """From here on nothing may be missing."""
        what.told = self._offsets(what, cursor)
        what.checked, what.settled = dict(what.told), {}
        what.spared = set()

    def _replayed(self, what: Subscription, message: dict[str, Any]) -> None:
        if what.state is not State.CATCHING_UP or what.since is None:
            raise self.fail(f"was told {message} while {what.state.value}")
        what.state = State.LIVE
        self._count(what, message)
        for number, had in what.since.items():
            if had < 0:
                # Of a partition that the cursor does not name it is owed what was held.
                what.checked[number] = max(what.checked[number], self._truth.oldest[what.wish.channel, number] - 1)
        self._tell(what, self._offsets(what, message["cursor"]))

    def _snapshot(self, what: Subscription, message: dict[str, Any]) -> None:
        if what.state is not State.CATCHING_UP or not what.snapshot:
            raise self.fail(f"was told {message} while {what.state.value}")
        if bool(message.get("expired")) != (what.since is not None):
            raise self.fail(f"had the cursor {what.since} and was told {message}")
        what.state, what.snapshot = State.LIVE, False
        self._count(what, message)
        channel = what.wish.channel
        for partition, upto in self._offsets(what, message["cursor"]).items():
            for offset in self._truth.last(what.wish, self.user, partition, upto) if channel in STATE else ():
                if (channel, partition, offset) not in self._got and not self._is_gone(channel, partition, offset):
                    raise self.fail(f"has no {channel} {partition}:{offset} after its snapshot: {message}")
        self._begin(what, message["cursor"])
        # The values may be later than the cursor, which waits for every room of the channel.
        what.settled = {number: self._truth.end(channel, number) for number in range(PARTITIONS[channel])}

    def _count(self, what: Subscription, message: dict[str, Any]) -> None:
        if message["count"] > what.frames and what.wish.channel not in self._shared:
            raise self.fail(f"had {what.frames} frames and was told {message}")

    def _heartbeat(self, message: dict[str, Any]) -> None:
        for each in self.subscriptions:
            cursor = message["cursors"].get(each.wish.channel)
            if cursor is None:
                continue
            if each.state is State.CATCHING_UP:
                raise self.fail(f"was told {cursor} while it was catching up")
            if each.state is State.LIVE:
                self._tell(each, self._offsets(each, cursor))

    def _refused(self, message: dict[str, Any]) -> None:
        if message["code"] == "unavailable" and "id" not in message:
            # A close follows.
            return
        what = self._of(message)
        match message["code"]:
            case "unavailable" | "cursor_expired" if what.state is State.LEAVING:
                pass
            case "unavailable":
                what.state = State.IDLE
            case "cursor_expired":
                self._expired(what, message)
            case "not_subscribed" if what.state is State.LEAVING:
                self.subscriptions.remove(what)
            case _:
                raise self.fail(f"was told {message}")

    def _expired(self, what: Subscription, message: dict[str, Any]) -> None:
        oldest = self._offsets(what, message["oldest"])
        if what.since is None or all(oldest[number] <= offset for number, offset in what.since.items()):
            raise self.fail(f"had the cursor {what.since} and was told {message}")
        if what.snapshot:
            raise self.fail(f"asked for last values where its cursor had expired, and was told {message}")
        what.state, what.told = State.IDLE, None

    # Cursors ------------------------------------------------------------------------------------------------------

    def _offsets(self, what: Subscription, text: str) -> dict[int, int]:
        cursor = parse_cursor(text)
        if cursor.epoch != self._epochs[what.wish.channel]:
            raise self.fail(f"was told {text}, of another stream")
        return {number: cursor.offsets.get(number, -1) for number in range(PARTITIONS[what.wish.channel])}

    def _tell(self, what: Subscription, cursor: dict[int, int]) -> None:
        told = what.told or {}
        what.told = {number: max(at, told.get(number, -1)) for number, at in cursor.items()}
        for number, upto in cursor.items():
            self._check_complete(what, number, upto)

    def _check_complete(self, what: Subscription, partition: int, upto: int) -> None:
        channel = what.wish.channel
        if upto >= self._truth.end(channel, partition):
            raise self.fail(f"was told {channel} {partition}:{upto}, which is not there")
        for offset in self._truth.owed(what.wish, self.user, partition, what.checked[partition], upto):
            if (channel, partition, offset) in self._got:
                continue
            if offset < what.settled.get(partition, 0) and self._is_gone(channel, partition, offset):
                continue
            text = f"was told {channel} {partition}:{upto} and misses {partition}:{offset}"
            if not self.was_slow or channel not in STATE:
                raise self.fail(text)
            # Also by what a subscription brought that it has given up since.
            wishes = [wish for wish in self._wished if wish.channel == channel]
            if not self._truth.is_superseded(wishes, self.user, partition, offset):
                raise self.fail(text)
            what.spared.add((partition, offset))
        what.checked[partition] = max(what.checked[partition], upto)

    def _is_gone(self, channel: str, partition: int, offset: int) -> bool:
        return self._truth.is_gone(channel, partition, offset, self._truth.end(channel, partition))

    def is_level(self) -> bool:
        """Whether it is told everything that there is."""
        return self.socket is not None and all(
            each.state is State.LIVE
            and all(at + 1 >= self._truth.end(each.wish.channel, number) for number, at in each.checked.items())
            for each in self.subscriptions
        )

    def check_rest(self) -> None:
        """At the end, what it was spared must have been superseded by what it has; and nothing disappears uncounted."""
        for each in self.subscriptions:
            log = self._truth.logs
            for partition, offset in each.spared:
                key = log[each.wish.channel, partition][offset].key
                later = range(offset + 1, self._truth.end(each.wish.channel, partition))
                if not any(
                    (each.wish.channel, partition, at) in self._got and log[each.wish.channel, partition][at].key == key
                    for at in later
                ):
                    raise self.fail(f"misses {each.wish.channel} {partition}:{offset}, and what came after it")
        if self.socket is not None and self._frames + self._conflated != self.socket.peer.sent:
            raise self.fail(f"had {self._frames} and was spared {self._conflated} of {self.socket.peer.sent}")
