"""Whatever became of connections, Redis and events: the comparison makes the records true, and what has closed does not come back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common import redis_keys
from common.channels import Channel
from common.events import ConnectionClosed, ConnectionOpened, Subscribed, Unsubscribed
from common.filters import parse_filter
from common.identifiers import ConnectionId, FencingEpoch, GatewayId, KeyHash, RoomId, Slot
from common.rooms import Room, room_of
from gateway.comparison import differences, strangers
from gateway.recorded import RecordedSlot
from router.records import Event, Records
from router.sweep import Sweep
from tests.support.system import System, SystemFactory

SLOT, EPOCH = Slot(3), FencingEpoch(7)
HEAD = {"slot": SLOT, "epoch": EPOCH, "at": 1}
NAMES = ["a", "b", "c"]
ROOMS = [room_of(Channel.PRICES, parse_filter({"tokenIds": [name]})) for name in ("x", "y")]

steps = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(NAMES)),
    st.tuples(st.just("close"), st.sampled_from(NAMES)),
    st.tuples(st.just("subscribe"), st.sampled_from(NAMES), st.sampled_from(ROOMS)),
    st.tuples(st.just("unsubscribe"), st.sampled_from(NAMES), st.sampled_from(ROOMS)),
    st.tuples(st.just("arrive"), st.sampled_from(["connections", "subscriptions"])),
    st.tuples(st.just("empty")),
    st.tuples(st.just("compare")),
)


@dataclass
class World:
    """A gateway's truth, its events on their way by two topics, and the records that a registry makes of them."""

    redis: Any
    """Typed for text and bytes both; this one gives text."""
    held: dict[ConnectionId, set[RoomId]] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)
    on_their_way: dict[str, deque[Event]] = field(
        default_factory=lambda: {"connections": deque(), "subscriptions": deque()}
    )

    def __post_init__(self) -> None:
        self.records, self.recorded = Records(self.redis), RecordedSlot(self.redis)

    def id(self, name: str) -> ConnectionId:
        """The name's present connection: an id is never used again."""
        return ConnectionId(f"{name}{self.lives.get(name, 0)}")

    async def take(self, kind: str, *what: object) -> None:
        match kind, what:
            case "open", (str(name),) if self.id(name) not in self.held:
                self.held[self.id(name)] = set()
                self._opened(self.id(name))
            case "close", (str(name),) if self.id(name) in self.held:
                del self.held[self.id(name)]
                self._closed(self.id(name))
                self.lives[name] = self.lives.get(name, 0) + 1
            case (("subscribe" | "unsubscribe"), (str(name), Room() as room)) if self.id(name) in self.held:
                rooms = self.held[self.id(name)]
                (rooms.add if kind == "subscribe" else rooms.discard)(room.id)
                self._told(self.id(name), room.id, held=kind == "subscribe")
            case "arrive", (str(topic),):
                await self.arrive(topic)
            case "empty", ():
                await self.redis.flushdb()
            case "compare", ():
                await self.compare()

    async def arrive(self, topic: str) -> None:
        if self.on_their_way[topic]:
            await self.records.write([self.on_their_way[topic].popleft()])

    async def settle(self) -> None:
        while any(self.on_their_way.values()):
            for topic in self.on_their_way:
                await self.arrive(topic)

    async def compare(self) -> bool:
        """Restate each difference. Whether there was one."""
        found = differences(self.held, await self.recorded.of(SLOT, self.held))
        found |= strangers(self.held, await self.recorded.connections(SLOT))
        for connection, room, here in sorted(found, key=lambda each: (each.connection, each.room or "")):
            if room is not None:
                self._told(connection, room, held=here)
            elif here:
                self._opened(connection)
            else:
                self._closed(connection)
        return bool(found)

    def _opened(self, connection: ConnectionId) -> None:
        event = ConnectionOpened(
            **HEAD, connection=connection, gateway=GatewayId("g"), key_hash=KeyHash("k"), address="", connected_at=1
        )
        self.on_their_way["connections"].append(event)

    def _closed(self, connection: ConnectionId) -> None:
        self.on_their_way["connections"].append(ConnectionClosed(**HEAD, connection=connection, code=1000))

    def _told(self, connection: ConnectionId, room_id: RoomId, *, held: bool) -> None:
        room = next(each for each in ROOMS if each.id == room_id)
        names = {"connection": connection, "room": room.id}
        event: Event = (
            Subscribed(**HEAD, **names, channel=room.channel, filter=room.filter.to_json())
            if held
            else Unsubscribed(**HEAD, **names)
        )
        self.on_their_way["subscriptions"].append(event)

    async def on_record(self) -> dict[str, set[str]]:
        """Connection -> rooms that have it as a member, of all that Redis names anywhere."""
        members = {room.id: await self.redis.smembers(redis_keys.room_members(room.id)) for room in ROOMS}
        listed: set[str] = await self.redis.smembers(redis_keys.CONNECTIONS)
        named = listed.union(await self.redis.smembers(redis_keys.slot_connections(SLOT)), *members.values())
        return {each: {room for room, there in members.items() if each in there} for each in named}


@pytest.fixture(scope="module")
def database(new_system: SystemFactory) -> System:
    """A database of its own; no service runs on it."""
    return new_system()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, max_size=40))
async def test_the_records_become_true_whatever_happened(history: list[tuple[str, ...]], database: System):
    async with database.records() as reader:
        world = World(reader.redis)
        await world.redis.flushdb()
        for step in history:
            await world.take(*step)
        await world.settle()
        # What comes late after an emptying may leave a trace of one that has closed: a second look sees to that.
        rounds = 0
        while await world.compare():
            await world.settle()
            rounds += 1
            assert rounds <= 3
        await Sweep(world.redis, world.records, interval=1).sweep()
        assert await world.on_record() == world.held
        for room in ROOMS:
            has_members = any(room.id in rooms for rooms in world.held.values())
            assert bool(await world.redis.exists(redis_keys.room(room.id))) is has_members
