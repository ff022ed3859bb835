"""What the simulation has: broker and Redis in memory, the group, and processes and clients, each of which goes on when it is told to.

The processes are the product's own (tests/simulation/routers.py, gateways.py, registries.py), from the WebSocket's bytes to the group's
rebalance. What goes wrong, and when, is the world's to say (tests/simulation/world.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

from common import redis_keys
from common.channels import Channel
from common.clock import ManualClock
from common.events import StreamCreated
from common.identifiers import GatewayId, Slot
from common.kafka import TopicPartition
from common.topics import stream_key
from gateway.slot import Lease, Slots
from router.interest_log import STREAMS
from router.settings import RouterSettings
from tests.simulation.broker import Broker
from tests.simulation.clients import Client
from tests.simulation.gateways import Gateway
from tests.simulation.groups import Group
from tests.simulation.loops import Loop
from tests.simulation.memory_redis import MemoryRedis
from tests.simulation.registries import Registry
from tests.simulation.routers import Router
from tests.simulation.truth import PARTITIONS, Failure, Truth

ROUTERS, SLOTS = 2, 2
_SETTINGS = RouterSettings(
    slots=SLOTS,
    slot_lease="3s",
    router_reaper_grace="1s",
    router_reaper_interval="500ms",
    router_recent_updates=6,
    router_checkpoint_interval="2s",
    router_max_poll_records=5,
)
_TOPICS = _SETTINGS.topics()
Process = Router | Gateway | Registry


class Stage:
    """Nothing happens here by itself; `chance` says who owns what after a rebalance, and where who comes back goes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.clock = ManualClock()
        self.truth = Truth()
        topics = {_TOPICS.updates(Channel(name)): count for name, count in PARTITIONS.items()}
        self.sources = {
            (name, number): TopicPartition(_TOPICS.updates(Channel(name)), number)
            for name, count in PARTITIONS.items()
            for number in range(count)
        }
        self.broker = Broker(self.clock, {**topics, _TOPICS.rooms_interest: 2, _TOPICS.deliveries: SLOTS})
        self.redis = MemoryRedis(self.clock)
        self.epochs = {name: f"k{number}" for number, name in enumerate(STREAMS)}
        for name, epoch in self.epochs.items():
            record = StreamCreated(channel=name, epoch=epoch)
            self.broker.append(_TOPICS.rooms_interest, stream_key(name), record.encode())
        self.group = Group(list(self.sources.values()), chance, self.loop_of)
        self.routers: list[Router] = []
        self.start_registry({})
        self._started = 0
        self.zombies: list[Gateway] = []
        """Gateways whose slot another has, whether they know it yet or not."""
        self.clients: list[Client] = []
        for _ in range(ROUTERS):
            self.start_router()
        self.gateways = [self.start_gateway(slot) for slot in range(SLOTS)]

    def settle(self, done: Callable[[], bool], rounds: int) -> None:
        """Let everything that can happen do so until `done()`, for so many rounds at most."""
        for _ in range(rounds):
            if done():
                return
            self.clock.advance(0.1)
            self.take_slots_again()
            self.rejoin()
            self.record(None, 8)
            for router in self.routers:
                self.work_through(router)
            for gateway in [*self.gateways, *self.zombies]:
                if not gateway.ended and not gateway.stalled:
                    self.serve(gateway)
            for client in self.clients:
                self.come_back(client)

    def work_through(self, router: Router) -> None:
        """The router hears all that there is, and what it sends is acknowledged."""
        for consumer in router.kafka.consumers:
            consumer.show()
        self.turn(router, 3)
        self.send_all(router)
        self.turn(router, 2)

    def take_slots_again(self) -> None:
        """Who was told that its slot is lost takes one anew."""
        for slot, gateway in enumerate(self.gateways):
            if gateway.ended:
                self.zombies.append(gateway)
                self.gateways[slot] = self.start_gateway(slot)

    def record(self, most: int | None, turns: int) -> None:
        """The registry hears so many records more, or all, and goes on."""
        if self.registry.consumer is not None:
            self.registry.consumer.show(most)
        self.turn(self.registry, turns)

    def serve(self, gateway: Gateway) -> None:
        """The same of a gateway, and its clients listen."""
        if gateway.consumer is not None:
            gateway.consumer.show()
        self.turn(gateway, 2)
        if gateway.serving:
            gateway.tick()
        self.turn(gateway, 1)
        self.send_all(gateway)
        self.turn(gateway, 2)
        self.listen()

    def come_back(self, client: Client) -> None:
        if client.socket is None and self.everyone_serves():
            client.connect(self.some_gateway(), self.committed)
        for each in client.subscriptions:
            client.ask(each, self.committed)

    def processes(self) -> list[Process]:
        return [self.registry, *self.routers, *self.gateways, *self.zombies]

    def everyone_serves(self) -> bool:
        return all(each.serving for each in self.gateways)

    @staticmethod
    def turn(process: Process, times: int) -> None:
        process.loop.turn(times)
        if process.loop.failures:
            raise Failure(f"a process ended: {process.loop.failures}") from process.loop.failures[0]

    @staticmethod
    def send_all(process: Router | Gateway) -> None:
        for producer in [*process.producers]:
            producer.write(1000)
            producer.acknowledge()

    def listen(self) -> None:
        for client in self.clients:
            client.listen()

    @staticmethod
    def read(client: Client, most: int) -> None:
        if client.socket is not None:
            client.socket.read(most)
            client.listen()

    def read_all(self, client: Client) -> None:
        while (socket := client.socket) is not None and socket.waits:
            self.read(client, 10_000)

    def rejoin(self) -> None:
        """Who was put out of the group and lives comes back."""
        for router in self.routers:
            member = router.member
            if member is not None and not router.stalled and member not in self.group.members:
                self.group.add(member)

    # Who there is -------------------------------------------------------------------------------------------------

    def start_router(self) -> None:
        self.routers.append(Router(self.broker, self.group, self.redis, _SETTINGS))

    def start_registry(self, committed: dict[TopicPartition, int]) -> None:
        self.registry = Registry(self.broker, self.redis, _SETTINGS, committed)

    def start_gateway(self, slot: int) -> Gateway:
        """It has the slot, whoever had it."""
        self._started += 1
        number, name = Slot(slot), GatewayId(f"gateway-{self._started}")
        seconds = _SETTINGS.slot_lease.total_seconds()
        lease = Lease(number, self.redis.lease(redis_keys.slot(number), name, seconds))
        slots = Slots(cast(Any, self.redis), name, slots=SLOTS, lease=seconds)
        return Gateway(self.broker, _TOPICS, slots, lease, name)

    def some_gateway(self) -> Gateway:
        return self.chance.choice(self.gateways)

    def committed(self, channel: str, partition: int) -> int:
        commit = self.broker.committed.get(self.sources[channel, partition])
        return commit.offset if commit is not None else 0

    def loop_of(self, member: object) -> Loop | None:
        return next((each.loop for each in self.routers if each.member is member), None)

    def close(self) -> None:
        for each in self.processes():
            each.kill()
