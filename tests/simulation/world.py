"""Gateways and routers of the product between producers, clients and all that can go wrong. One process, a clock that is moved by hand.

The processes are the product's own (tests/simulation/routers.py, gateways.py), from the WebSocket's bytes to the group's rebalance; the
broker and Redis are in memory. What happens next is drawn from one `random.Random`, so that a seed repeats its history.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping

from common import redis_keys
from common.channels import Channel
from common.clock import ManualClock
from common.events import StreamCreated
from common.identifiers import FencingEpoch, Slot
from common.kafka import TopicPartition
from common.topics import stream_key
from gateway.slot import Lease
from router.interest_log import STREAMS
from router.settings import RouterSettings
from tests.simulation.broker import Broker, Producer
from tests.simulation.clients import Client, State
from tests.simulation.gateways import Gateway
from tests.simulation.groups import Group
from tests.simulation.loops import Loop
from tests.simulation.memory_redis import MemoryRedis
from tests.simulation.registries import Registry
from tests.simulation.routers import Router
from tests.simulation.truth import PARTITIONS, STATE, USERS, WISHES, Failure, Truth, invent

ROUTERS, SLOTS, CLIENTS = 2, 2, 4
STEPS: Mapping[str, int] = {
    "produce": 14,
    "route": 30,
    "deliver": 22,
    "pass_time": 10,
    "connect": 4,
    "reconnect": 6,
    "subscribe": 2,
    "go_on": 1,
    "read_slowly": 2,
}
FAULTS: Mapping[str, int] = {
    "disconnect": 1,
    "unsubscribe": 1,
    "rebalance": 3,
    "stall_router": 3,
    "put_out": 2,
    "kill_router": 1,
    "kill_registry": 1,
    "fail_producer": 1,
    "kill_gateway": 1,
    "stall_gateway": 1,
    "take_slot": 1,
    "slow_down": 2,
    "expire": 2,
    "shake_redis": 1,
}
"""A history has some of them and not others: so that each comes up both alone and together with any other."""
_SETTINGS = RouterSettings(
    slots=SLOTS, router_recent_updates=6, router_checkpoint_interval="2s", router_max_poll_records=5
)
_TOPICS = _SETTINGS.topics()
_QUIET_ROUNDS = 400


class World:
    """`chance` decides everything. `faults`: how often each comes, relative to the other steps; some of them all if not given."""

    def __init__(self, chance: random.Random, faults: Mapping[str, int] | None = None) -> None:
        self.chance = chance
        self.happened: Counter[str] = Counter()
        self._acknowledges = chance.choice((0.1, 0.7))
        if faults is None:
            faults = {name: weight * chance.choice((0, 0, 1, 2)) for name, weight in FAULTS.items()}
        self._names, self._weights = [*STEPS, *faults], [*STEPS.values(), *faults.values()]
        self.clock = ManualClock()
        self.truth = Truth()
        topics = {_TOPICS.updates(Channel(name)): count for name, count in PARTITIONS.items()}
        self.sources = {
            (name, number): TopicPartition(_TOPICS.updates(Channel(name)), number)
            for name, count in PARTITIONS.items()
            for number in range(count)
        }
        self.broker = Broker(self.clock, {**topics, _TOPICS.rooms_interest: 2, _TOPICS.deliveries: SLOTS})
        self.redis = MemoryRedis()
        self.epochs = {name: f"k{number}" for number, name in enumerate(STREAMS)}
        for name, epoch in self.epochs.items():
            record = StreamCreated(channel=name, epoch=epoch)
            self.broker.append(_TOPICS.rooms_interest, stream_key(name), record.encode())
        self.group = Group(list(self.sources.values()), chance, self._loop_of)
        self.routers: list[Router] = []
        self.registry = Registry(self.broker, self.redis, _SETTINGS, {})
        self.zombies: list[Gateway] = []
        """Gateways that were stalled when another got their slot, and do not know it yet."""
        self.clients: list[Client] = []
        for _ in range(ROUTERS):
            self._start_router()
        self.leases = 0
        self.gateways = [self._gateway(slot) for slot in range(SLOTS)]
        self._produced = 0
        self.settle(lambda: self._everyone_serves() and len(self.broker.committed) == len(self.sources), 60)
        self.connect()
        self.connect()

    def step(self, name: str | None = None) -> None:
        name = name or self.chance.choices(self._names, self._weights)[0]
        self.happened[name] += 1
        getattr(self, name)()

    def end(self) -> None:
        """Nothing fails any more: everyone must come to have everything; and when all have left, nothing is left of them."""
        self._mend()
        self.settle(self._everyone_is_level, _QUIET_ROUNDS)
        for client in self.clients:
            if not client.is_level():
                states = [(each.wish, each.state, each.checked) for each in client.subscriptions]
                raise client.fail(f"never came to have everything: {states}")
            client.check_rest()
            client.disconnect()
        self.clients = []
        self.settle(self._nothing_is_left, _QUIET_ROUNDS)
        if not self._nothing_is_left():
            raise Failure("interest is left of clients that are gone")

    def close(self) -> None:
        for each in self._processes():
            each.kill()

    # Steps --------------------------------------------------------------------------------------------------------

    def produce(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            channel, partition = self.chance.choice(list(self.sources))
            key, value, produced = invent(self.chance, channel, self._produced)
            self._produced += 1
            self.broker.append(self.sources[channel, partition].topic, key, value, partition=partition)
            self.truth.add(channel, partition, produced)

    def route(self) -> None:
        """A router does something, or hears something."""
        self._record(self.chance.choice((1, 3, None)), self.chance.randint(0, 4))
        router = self.chance.choice(self.routers)
        if router.stalled:
            # What it had handed to its system before still goes out.
            self._send(router.producer)
            return
        if self.chance.random() < 0.5:
            self._work_through(router)
            return
        for _ in range(self.chance.randint(1, 3)):
            match self.chance.randrange(5):
                case 0:
                    for consumer in router.kafka.consumers:
                        if not consumer.grouped and self.chance.random() < 0.7:
                            consumer.show(self.chance.choice((1, 2, None)))
                case 1:
                    if (member := router.member) is not None:
                        member.show(self.chance.choice((1, 3, None)))
                case 2:
                    self._send(router.producer)
                case _:
                    pass
            self._turn(router, self.chance.randint(1, 4))

    def deliver(self) -> None:
        """A gateway does something, or hears something."""
        gateway = self.chance.choice([*self.gateways, *self.zombies])
        if gateway.stalled or gateway.ended:
            return
        if self.chance.random() < 0.3:
            self._serve(gateway)
            return
        if self.chance.random() < 0.8 and gateway.consumer is not None:
            gateway.consumer.show(self.chance.choice((1, 2, None)))
        if self.chance.random() < 0.8:
            self._send(gateway.producer)
        self._turn(gateway, self.chance.randint(1, 3))
        self._listen()

    def pass_time(self) -> None:
        self.clock.advance(self.chance.choice((0.05, 0.1, 0.2, 0.5)))
        for gateway in [*self.gateways, *self.zombies]:
            if not gateway.stalled and gateway.serving:
                gateway.tick()
        self._renew_leases()
        self._listen()

    def connect(self) -> None:
        if len(self.clients) < CLIENTS:
            user, by_id = self.chance.choice(USERS), self.chance.random() < 0.5
            client = Client(len(self.clients), user, self.truth, self.epochs, by_id=by_id)
            self.clients.append(client)
            client.connect(self._some_gateway(), self._committed)
            client.subscribe(self.chance.choice(WISHES), self._committed, snapshot=self.chance.random() < 0.3)

    def disconnect(self) -> None:
        if (client := self._some_client()) is not None:
            client.disconnect()

    def reconnect(self) -> None:
        """Who is away comes back, with its cursor; who was refused asks again."""
        client = self._some_client()
        if client is None:
            return
        if client.socket is None:
            client.connect(self._some_gateway(), self._committed)
        for each in client.subscriptions:
            if each.state is State.IDLE:
                # Where the cursor has expired, the last values are the way on.
                each.snapshot = each.wish.channel in STATE and (each.snapshot or self.chance.random() < 0.2)
                client.ask(each, self._committed)

    def subscribe(self) -> None:
        client = self._some_client()
        if client is not None and client.socket is not None and len(client.subscriptions) < 2:
            client.subscribe(self.chance.choice(WISHES), self._committed, snapshot=self.chance.random() < 0.3)

    def unsubscribe(self) -> None:
        client = self._some_client()
        if client is not None and len(client.subscriptions) > 1:
            client.unsubscribe(self.chance.choice(client.subscriptions))

    def rebalance(self) -> None:
        self.group.rebalance()

    def stall_router(self) -> None:
        """It is not heard of, for a while at least; the group may soon have had enough of it."""
        self.chance.choice(self.routers).stalled = True
        if self.chance.random() < 0.5:
            self.put_out()

    def put_out(self) -> None:
        """The group goes on without those that are silent; one that is not, and was put out, joins again."""
        silent = [each.member for each in self.routers if each.stalled and each.member is not None]
        live = [each.member for each in self.routers if not each.stalled]
        gone = [each for each in self.group.members if each not in silent and each not in live]
        if any(each is not None for each in live):
            self.group.put_out([*silent, *gone])
        self._rejoin()

    def go_on(self) -> None:
        """Whoever is stalled goes on, and finds out what happened without it."""
        for each in self._processes():
            if self.chance.random() < 0.5:
                each.stalled = False

    def kill_router(self) -> None:
        router = self.chance.choice(self.routers)
        self.routers.remove(router)
        router.kill()
        self._start_router()

    def kill_registry(self) -> None:
        self.registry.kill()
        self.registry = Registry(self.broker, self.redis, _SETTINGS, self.registry.committed)

    def fail_producer(self) -> None:
        router = self.chance.choice(self.routers)
        if router.producer is not None and not router.stalled:
            router.producer.write(self.chance.randint(0, 2))
            router.producer.fail()

    def kill_gateway(self) -> None:
        slot = self.chance.randrange(SLOTS)
        self.gateways[slot].kill()
        self.gateways[slot] = self._gateway(slot)
        self._forget_killed()

    def stall_gateway(self) -> None:
        self.chance.choice(self.gateways).stalled = True

    def take_slot(self) -> None:
        """The lease of a gateway that is stalled has expired: another one has its slot."""
        for slot, gateway in enumerate(self.gateways):
            if gateway.stalled:
                self.zombies.append(gateway)
                self.gateways[slot] = self._gateway(slot)

    def slow_down(self) -> None:
        client = self._some_client()
        if client is not None and client.socket is not None:
            client.socket.slow = client.was_slow = True

    def read_slowly(self) -> None:
        for client in self.clients:
            if client.socket is not None and client.socket.slow:
                client.socket.slow = self.chance.random() < 0.7
                self._read(client, self.chance.choice((300, 2000)))

    def expire(self) -> None:
        """What was routed is held no longer; of a state channel the last values are.

        What is kept is kept for a day, so that it is not gone while a gateway that is up still needs it.
        """
        place, source = self.chance.choice(list(self.sources.items()))
        log = self.broker.logs[source]
        needed = [each.needed(*place) for each in [*self.gateways, *self.zombies] if not each.ended]
        upto = min(self._committed(*place), self.truth.first_last(*place), *needed)
        log.start = self.truth.oldest[place] = self.chance.randint(log.start, max(log.start, upto))

    def shake_redis(self) -> None:
        match self.chance.randrange(4):
            case 0:
                self.redis.empty()
            case 1:
                self.redis.away = True
            case _:
                self.redis.away = False

    # Inside -------------------------------------------------------------------------------------------------------

    def settle(self, done: Callable[[], bool], rounds: int) -> None:
        """Let everything that can happen do so until `done()`, for so many rounds at most."""
        for _ in range(rounds):
            if done():
                return
            self.clock.advance(0.1)
            self._renew_leases()
            self._rejoin()
            self._record(None, 8)
            for router in self.routers:
                self._work_through(router)
            for gateway in [*self.gateways, *self.zombies]:
                if not gateway.ended:
                    self._serve(gateway)
            for client in self.clients:
                self._come_back(client)

    def _work_through(self, router: Router) -> None:
        for consumer in router.kafka.consumers:
            consumer.show()
        self._turn(router, 3)
        self._send_all(router.producer)
        self._turn(router, 2)

    def _renew_leases(self) -> None:
        for gateway in self.gateways:
            if gateway.serving and not gateway.stalled and not self.redis.away:
                lease = {"epoch": str(gateway.lease.epoch), "gateway": gateway.name}
                self.redis.put(redis_keys.slot(gateway.lease.slot), lease)

    def _record(self, most: int | None, turns: int) -> None:
        if self.registry.consumer is not None:
            self.registry.consumer.show(most)
        self._turn(self.registry, turns)

    def _serve(self, gateway: Gateway) -> None:
        if gateway.consumer is not None:
            gateway.consumer.show()
        self._turn(gateway, 2)
        if gateway.serving:
            gateway.tick()
        self._turn(gateway, 1)
        self._send_all(gateway.producer)
        self._turn(gateway, 2)
        self._listen()

    def _come_back(self, client: Client) -> None:
        if client.socket is None and self._everyone_serves():
            client.connect(self._some_gateway(), self._committed)
        for each in client.subscriptions:
            client.ask(each, self._committed)

    def _mend(self) -> None:
        self.redis.away = False
        for each in self._processes():
            each.stalled = False
        self.group.put_out([each for each in self.group.members if each not in [one.member for one in self.routers]])
        for client in self.clients:
            if client.socket is not None:
                client.socket.slow = False
                self._read_all(client)

    def _processes(self) -> list[Router | Gateway | Registry]:
        return [self.registry, *self.routers, *self.gateways, *self.zombies]

    def _everyone_is_level(self) -> bool:
        return all(each.is_level() for each in self.clients)

    def _everyone_serves(self) -> bool:
        return all(each.serving for each in self.gateways)

    def _nothing_is_left(self) -> bool:
        return not any(len(each.activation) or each.hub.rooms for each in self.gateways) and not any(
            len(each.interest.fold.index) for each in self.routers
        )

    def _turn(self, process: Router | Gateway | Registry, times: int) -> None:
        process.loop.turn(times)
        if process.loop.failures:
            raise Failure(f"a process ended: {process.loop.failures}") from process.loop.failures[0]

    def _send(self, producer: Producer | None) -> None:
        if producer is not None:
            producer.write(self.chance.randint(0, 3))
            if self.chance.random() < self._acknowledges:
                producer.acknowledge()

    @staticmethod
    def _send_all(producer: Producer | None) -> None:
        if producer is not None:
            producer.write(1000)
            producer.acknowledge()

    def _listen(self) -> None:
        for client in self.clients:
            client.listen()

    @staticmethod
    def _read(client: Client, most: int) -> None:
        if client.socket is not None:
            client.socket.read(most)
            client.listen()

    def _read_all(self, client: Client) -> None:
        while (socket := client.socket) is not None and socket.waits:
            self._read(client, 10_000)

    def _rejoin(self) -> None:
        for router in self.routers:
            member = router.member
            if member is not None and not router.stalled and member not in self.group.members:
                self.group.add(member)

    def _start_router(self) -> None:
        self.routers.append(Router(self.broker, self.group, self.redis, _SETTINGS))

    def _gateway(self, slot: int) -> Gateway:
        self.leases += 1
        return Gateway(self.broker, _TOPICS, Lease(Slot(slot), FencingEpoch(self.leases)))

    def _forget_killed(self) -> None:
        for client in self.clients:
            if client.socket is not None and client.socket.gateway.kafka.cut:
                client.disconnect()

    def _some_gateway(self) -> Gateway:
        return self.chance.choice(self.gateways)

    def _some_client(self) -> Client | None:
        return self.chance.choice(self.clients) if self.clients else None

    def _committed(self, channel: str, partition: int) -> int:
        commit = self.broker.committed.get(self.sources[channel, partition])
        return commit.offset if commit is not None else 0

    def _loop_of(self, member: object) -> Loop | None:
        return next((each.loop for each in self.routers if each.member is member), None)
