"""A hub, and connections that ask it for what they missed."""

from __future__ import annotations

from typing import Any

import pytest

from common.clock import ManualClock
from common.cursor import Cursor
from common.deliveries import Activated, Began, Item, Replayed, Verdict
from common.rooms import Room
from gateway.catch_ups import CatchUp
from gateway.positions import Positions
from gateway.recent import Recent
from services.gateway.tests.roles import (
    STREAM,
    Ask,
    RecordingInterest,
    RecordingMember,
    delivery,
    hub_of,
    tokens,
)

BTC, ETH = tokens("btc"), tokens("eth")


class Told:
    """What a subscribe was told, and what its connection does on it."""

    def __init__(self, world: World, member: RecordingMember, room: Room) -> None:
        self.words: list[Any] = []
        self.closes_at: str | None = None
        self._world, self._member, self._room = world, member, room

    def _hear(self, word: Any) -> None:
        self.words.append(word)
        if self.closes_at is not None and str(word).startswith(self.closes_at):
            self._world.hub.unregister(self._member, [self._room])

    def begun(self) -> None:
        self._hear("begun")

    def caught_up(self, frames: int, *, snapshot: bool) -> None:
        self._hear(f"{'snapshot' if snapshot else 'replay'} {frames}")

    def expired(self, message: str, oldest: Cursor) -> None:
        self._hear(f"expired {oldest}")

    def refused(self, message: str) -> None:
        self._hear("refused")

    def failed(self, message: str) -> None:
        self._hear("failed")


class World:
    def __init__(self, partitions: int = 1) -> None:
        self.interest, self.positions, self.clock = RecordingInterest(), Positions(), ManualClock()
        self.recent = Recent(1_000_000)
        self.hub = hub_of(self.interest, self.positions, self.clock, self.recent, partitions=partitions)

    def resume(
        self, since: dict[int, int] | None, room: Room = BTC, *, user: str | None = None, **options: Any
    ) -> tuple[RecordingMember, Told]:
        """A connection that asks with the cursor, or, with `None`, for a snapshot alone."""
        member = RecordingMember(user)
        self.hub.register(member)
        return member, self.again(member, since, room, **options)

    def again(
        self,
        member: RecordingMember,
        since: dict[int, int] | None,
        room: Room = BTC,
        *,
        snapshot: bool = False,
        stream: str = STREAM,
        closes_at: str | None = None,
    ) -> Told:
        told = Told(self, member, room)
        told.closes_at = closes_at
        cursor = Cursor(stream, since) if since is not None else None
        self.hub.catch_up(CatchUp(member, room, cursor, snapshot or since is None, told, dict(since or {})))
        return told

    def live(self, room: Room = BTC) -> RecordingMember:
        """A connection in the room since ever."""
        member = RecordingMember()
        self.hub.register(member)
        self.hub.join(member, (room,), done=lambda: None, failed=pytest.fail)
        self.deliver(Activated(room.id, 0, self.interest.request(room)), channel=room.channel.value)
        return member

    def activate(self, offset: int, room: Room = BTC, **options: Any) -> None:
        """Answer the plain record with which a room begins."""
        asked = [request for room_id, request in self.interest.records if room_id == room.id and request]
        plain = max(request for request in asked if self.interest.asks[request] == Ask(None, None, False))
        self.deliver(Activated(room.id, offset, plain), channel=room.channel.value, **options)

    def tick(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        now = self.clock.monotonic()
        self.hub.activation.tick(now)
        self.hub.catching_up.tick(now)

    def request(self, room: Room = BTC) -> int:
        return self.interest.request(room)

    def ask(self, room: Room = BTC) -> Ask:
        return self.interest.asks[self.request(room)]

    def deliver(self, *items: Item, **options: Any) -> None:
        self.hub.deliver(delivery(*items, **options))
        self.hub.flush()

    def answer(
        self, *offsets: int, upto: int, request: int | None = None, room: Room = BTC, oldest: int = 0, **options: Any
    ) -> None:
        """Everything that a partition says to a record: these offsets, and live from `upto` on."""
        number = request or self.request(room)
        verdict = options.pop("verdict", Verdict.REPLAY)
        items = [replayed(offset, (room, number)) for offset in offsets]
        self.deliver(Began(room.id, number, verdict, oldest), *items, Activated(room.id, upto, number), **options)


def replayed(offset: int, *answers: tuple[Room, int], user: str | None = None) -> Replayed:
    return Replayed(offset, [(room.id, request) for room, request in answers], f"{offset}".encode(), 0, user)
