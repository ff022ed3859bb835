"""What clients are told when a backend is away and back: nothing of what comes and goes quickly, everything else once."""

from __future__ import annotations

import orjson
import pytest

from gateway.outages import TOLD_AT_A_TIME, Outages
from services.gateway.tests.running import running

SETTLE = 2.0


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def push(self, payload: bytes) -> None:
        self.heard.append(orjson.loads(payload)["code"])


class World:
    """Everything answers at 0 s."""

    def __init__(self, listeners: int = 1) -> None:
        self.outages = Outages(settle=SETTLE)
        self.listeners = [Listener() for _ in range(listeners)]
        self.at(0)

    def at(self, now: float, *away: str) -> World:
        self.outages.tick(away, lambda: self.listeners, now=now)
        return self

    @property
    def heard(self) -> list[str]:
        return self.listeners[0].heard


def test_an_outage_is_told_once_when_it_has_lasted_and_its_end_when_that_has():
    world = World().at(1, "kafka").at(2.9, "kafka")
    assert world.heard == []
    for now in (3, 4, 5):
        world.at(now, "kafka")
    assert world.heard == ["degraded"]
    world.at(6).at(7.9)
    assert world.heard == ["degraded"]
    world.at(8).at(9)
    assert world.heard == ["degraded", "recovered"]


def test_what_comes_and_goes_quickly_is_told_to_nobody():
    world = World()
    for now in range(1, 20):
        world.at(now, *(("kafka",) if now % 2 else ()))
    assert world.heard == []


def test_an_outage_that_is_interrupted_shortly_stays_one():
    world = World().at(1, "redis").at(3, "redis").at(4).at(5, "redis").at(6, "redis")
    assert world.heard == ["degraded"]


def test_what_was_never_there_belongs_to_a_start():
    outages, listener = Outages(settle=SETTLE), Listener()
    for now in range(10):
        outages.tick(["kafka"], lambda: [listener], now=now)
    assert listener.heard == []


@pytest.mark.parametrize(
    ("first", "second", "heard"),
    [
        (("kafka",), ("kafka", "redis"), ["degraded"]),
        (("redis",), ("kafka", "redis"), ["degraded", "degraded"]),
        (("redis", "kafka"), ("redis",), ["degraded", "degraded"]),
    ],
)
def test_a_second_backend_is_told_where_it_means_something_else_to_clients(first, second, heard):
    world = World().at(1, *first).at(3, *first).at(4, *second).at(6, *second)
    assert world.heard == heard
    world.at(7).at(9)
    assert world.heard == [*heard, "recovered"]


def test_many_are_told_over_several_ticks():
    world = World(2 * TOLD_AT_A_TIME + 1).at(1, "kafka").at(3, "kafka")
    told = [sum(bool(each.heard) for each in world.listeners)]
    for now in (4, 5):
        world.at(now, "kafka")
        told.append(sum(bool(each.heard) for each in world.listeners))
    assert told == [TOLD_AT_A_TIME, 2 * TOLD_AT_A_TIME, 2 * TOLD_AT_A_TIME + 1]


def test_who_did_not_hear_of_the_outage_hears_nothing_of_its_end():
    world = World(TOLD_AT_A_TIME + 1).at(1, "kafka").at(3, "kafka")
    world.outages.tick([], lambda: world.listeners, now=3.1)
    late = Listener()
    world.outages.joined(late)
    world.outages.left(late)
    for now in (5.2, 6, 7):
        world.at(now)
    heard = {tuple(each.heard) for each in world.listeners}
    assert heard == {("degraded", "recovered")}
    assert late.heard == []


async def test_only_who_is_authenticated_is_told_and_a_latecomer_after_its_key():
    async with running(gateway_outage_settle="100ms", gateway_heartbeat_interval="100ms") as gateway:
        for dependency in Outages.dependencies:
            gateway.app.readiness.available(dependency)
        client, stranger = await gateway.connect(), await gateway.connect(None)
        # Until the ticker has seen that both were there.
        await client.expect("heartbeat")
        gateway.app.readiness.missing("kafka", "away")
        told = await client.expect("notice", code="degraded")
        assert "late" in told["message"]
        late = await gateway.connect()
        await late.expect("notice", code="degraded")
        assert [each["type"] for each in late.messages[:3]] == ["welcome", "authenticated", "notice"]
        gateway.app.readiness.available("kafka")
        for each in (client, late):
            await each.expect("notice", code="recovered")
        assert [each["type"] for each in stranger.messages] == ["welcome"]
