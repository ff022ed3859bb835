"""Carries out faults: each does its harm, waits, and makes good what would not heal by itself."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import redis.asyncio as redis

from common import redis_keys
from tests.faults.crowd_control import CrowdControl
from tests.faults.fleet import Fleet, Machine
from tests.faults.links import Link, Pair
from tests.faults.plan import Fault

LEAST_ROUTERS = 1
FREEING_SECONDS = 20.0


class NotPossible(Exception):
    """The fault has no target at this moment."""


class Injection:
    """`done` counts the faults that took place, by kind; `trouble` says what did not heal after them."""

    def __init__(self, fleet: Fleet, crowd: CrowdControl, say: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        self.trouble: list[str] = []
        self._fleet = fleet
        self._crowd = crowd
        self._say = say

    async def run(self, plan: Sequence[Fault]) -> None:
        """Each fault at its time; returns when all are over. Raises what a fault could not make good."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in plan:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                group.create_task(self._inject(fault))

    async def _inject(self, fault: Fault) -> None:
        try:
            await self._faults[fault.kind](self, fault)
        except NotPossible as reason:
            self._say(f"{fault.kind} left out: {reason}")
        except AssertionError as error:
            self.trouble.append(f"{fault.kind}: {error}")
        else:
            self.done[fault.kind] += 1

    # Processes -------------------------------------------------------------------------------------------------------

    async def _kill(self, fault: Fault) -> None:
        kind = fault.kind.rpartition("_")[2]
        async with self._machine(kind, fault) as machine:
            self._say(f"kill -9 {machine.name}, again after {fault.lasts:.1f} s")
            machine.up.kill()
            await asyncio.sleep(fault.lasts)
            self._fleet.launch(machine)
            await self._fleet.wait_ready(machine)
            self._say(f"{machine.name} is ready again")

    async def _drain(self, fault: Fault) -> None:
        async with self._machine("gateway", fault) as machine:
            self._say(f"SIGTERM to {machine.name}, again {fault.lasts:.1f} s after its end")
            status = await asyncio.to_thread(machine.up.stop)
            assert status == 0, f"{machine.name} ended with {status}:\n{machine.up.tail()}"
            await asyncio.sleep(fault.lasts)
            self._fleet.launch(machine)
            await self._fleet.wait_ready(machine)
            self._say(f"{machine.name} is ready again")

    async def _stall(self, fault: Fault) -> None:
        kind = fault.kind.split("_")[1]
        async with self._machine(kind, fault) as machine:
            self._say(f"SIGSTOP {machine.name} for {fault.lasts:.1f} s")
            machine.up.freeze()
            await asyncio.sleep(fault.lasts)
            machine.up.thaw()
            await self._fleet.wait_ready(machine)
            self._say(f"{machine.name} is ready again")

    async def _add_router(self, fault: Fault) -> None:
        machine = next((each for each in self._fleet.machines.values() if each.service is None), None)
        if machine is None:
            raise NotPossible("all routers run")
        self._say(f"{machine.name} joins")
        machine.busy = True
        try:
            self._fleet.launch(machine)
            await self._fleet.wait_ready(machine)
        finally:
            machine.busy = False

    async def _remove_router(self, fault: Fault) -> None:
        if len([each for each in self._fleet.running() if each.kind == "router"]) <= LEAST_ROUTERS:
            raise NotPossible("only one router runs")
        async with self._machine("router", fault) as machine:
            self._say(f"{machine.name} leaves")
            status = await asyncio.to_thread(machine.up.stop)
            assert status == 0, f"{machine.name} ended with {status}:\n{machine.up.tail()}"
            machine.service = None

    @contextlib.asynccontextmanager
    async def _machine(self, kind: str, fault: Fault) -> AsyncIterator[Machine]:
        """A machine of this kind that no other fault has meanwhile."""
        until = time.monotonic() + FREEING_SECONDS
        while not (free := list(self._fleet.free(kind))):
            if time.monotonic() > until:
                raise NotPossible(f"each {kind} is in another fault")
            await asyncio.sleep(0.2)
        machine = free[int(fault.choice * len(free))]
        machine.busy = True
        try:
            yield machine
        finally:
            machine.busy = False

    # Connections of clients ------------------------------------------------------------------------------------------

    async def _cut_clients(self, fault: Fault) -> None:
        pairs = self._some_connections(fault)
        self._say(f"cut {len(pairs)} connections of clients")
        for pair in pairs:
            pair.cut()

    async def _half_open_clients(self, fault: Fault) -> None:
        pairs = self._some_connections(fault)
        self._say(f"{len(pairs)} connections of clients are half open for {fault.lasts:.1f} s")
        await _lastingly(pairs, Pair.swallow, Pair.cut, fault.lasts)

    async def _hold_clients(self, fault: Fault) -> None:
        pairs = self._some_connections(fault)
        self._say(f"hold {len(pairs)} connections of clients for {fault.lasts:.1f} s")
        await _lastingly(pairs, Pair.hold, Pair.release, fault.lasts)

    async def _slow_readers(self, fault: Fault) -> None:
        pairs = self._some_connections(fault)
        self._say(f"{len(pairs)} clients read nothing for {fault.lasts:.1f} s")
        await _lastingly(pairs, Pair.hold_far, Pair.release, fault.lasts)

    def _some_connections(self, fault: Fault) -> list[Pair]:
        pairs = [pair for link in self._fleet.fronts.values() for pair in link.pairs]
        return random.Random(fault.choice).sample(pairs, int(len(pairs) * fault.share))

    async def _slow_applications(self, fault: Fault) -> None:
        names = self._crowd.some(fault.choice, fault.share)
        self._say(f"{len(names)} applications take nothing for {fault.lasts:.1f} s")
        await self._crowd.pause(names, fault.lasts)
        await asyncio.sleep(fault.lasts)

    async def _restart_applications(self, fault: Fault) -> None:
        names = self._crowd.some(fault.choice, fault.share)
        self._say(f"{len(names)} applications start again from their cursors, at any gateway")
        await self._crowd.restart(names, fault.choice)

    # Servers ---------------------------------------------------------------------------------------------------------

    async def _harm_link(self, fault: Fault) -> None:
        harm, _, kind = fault.kind.partition("_")
        links = self._fleet.backends.redis_links if kind == "redis" else self._fleet.backends.kafka_links
        names = [each.name for each in self._fleet.running()]
        link = links[names[int(fault.choice * len(names))]]
        self._say(f"{harm} the way to {link.name} for {fault.lasts:.1f} s")
        await self._lastingly_all(link, _HARMS[harm], fault.lasts)
        self._say(f"the way to {link.name} is open again")

    async def _lastingly_all(self, link: Link, harm: Callable[[Pair], None], seconds: float) -> None:
        """Connections made meanwhile suffer the same."""
        link.treat_new(harm)
        try:
            for pair in link.pairs:
                harm(pair)
            await asyncio.sleep(seconds)
        finally:
            link.treat_new(None)
            for pair in link.pairs:
                if pair.swallows:
                    pair.cut()
                else:
                    pair.release()

    async def _empty_redis(self, fault: Fault) -> None:
        """All is gone but the keys, which an operator would bring back from elsewhere."""
        self._say("Redis is emptied")
        given = self._fleet.system.environment
        async with redis.Redis(
            host=given["REDIS_HOST"], port=int(given["REDIS_PORT"]), db=int(given["REDIS_DB"])
        ) as client:
            keys = [key async for key in client.scan_iter(match=redis_keys.auth_key("*"))]  # type: ignore[arg-type]
            dumps = [await client.dump(key) or b"" for key in keys]
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.flushdb()
                for key, dump in zip(keys, dumps, strict=True):
                    pipeline.restore(key, 0, dump)
                await pipeline.execute()

    async def _restart_redis(self, fault: Fault) -> None:
        await self._restart(self._fleet.backends.redis_container, "Redis", fault)

    async def _restart_kafka(self, fault: Fault) -> None:
        await self._restart(self._fleet.backends.kafka_container, "Kafka", fault)

    async def _restart(self, container: object, name: str, fault: Fault) -> None:
        kill = fault.choice < 0.5
        self._say(f"{'kill -9' if kill else 'stop'} {name}, again after {fault.lasts:.1f} s")
        await self._fleet.backends.restart(container, kill=kill, away=fault.lasts)  # type: ignore[arg-type]
        self._say(f"{name} answers again")

    _faults: dict[str, Callable[[Injection, Fault], Awaitable[None]]] = {  # noqa: RUF012 - a table of methods
        "kill_gateway": _kill,
        "kill_router": _kill,
        "kill_auth": _kill,
        "drain_gateway": _drain,
        "stall_gateway_short": _stall,
        "stall_gateway_past_its_lease": _stall,
        "stall_router_short": _stall,
        "stall_router_past_its_session": _stall,
        "stall_auth": _stall,
        "add_router": _add_router,
        "remove_router": _remove_router,
        "cut_clients": _cut_clients,
        "half_open_clients": _half_open_clients,
        "hold_clients": _hold_clients,
        "slow_readers": _slow_readers,
        "slow_applications": _slow_applications,
        "restart_applications": _restart_applications,
        "cut_redis": _harm_link,
        "hold_redis": _harm_link,
        "swallow_redis": _harm_link,
        "empty_redis": _empty_redis,
        "cut_kafka": _harm_link,
        "hold_kafka": _harm_link,
        "swallow_kafka": _harm_link,
        "restart_redis": _restart_redis,
        "restart_kafka": _restart_kafka,
    }


_HARMS: dict[str, Callable[[Pair], None]] = {"cut": Pair.cut, "hold": Pair.hold, "swallow": Pair.swallow}


async def _lastingly(
    pairs: Sequence[Pair], harm: Callable[[Pair], None], end: Callable[[Pair], None], seconds: float
) -> None:
    try:
        for pair in pairs:
            harm(pair)
        await asyncio.sleep(seconds)
    finally:
        for pair in pairs:
            end(pair)
