"""All that can go wrong between producers, routers, gateways and clients. One process, a clock that is moved by hand.

What happens next is drawn from one `random.Random`, so that a seed repeats its history.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

from tests.simulation.clients import Client, State
from tests.simulation.gateways import Gateway
from tests.simulation.routers import Router
from tests.simulation.stage import SLOTS, Stage
from tests.simulation.truth import STATE, USERS, WISHES, Failure, invent

CLIENTS, FOLLOWERS = 4, 3
STEPS: Mapping[str, int] = {
    "produce": 14,
    "route": 30,
    "deliver": 22,
    "pass_time": 10,
    "connect": 4,
    "reconnect": 6,
    "follow": 4,
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
_QUIET_ROUNDS = 400


class World(Stage):
    """`chance` decides everything. `faults`: how often each comes, relative to the other steps; some of them all if not given."""

    def __init__(self, chance: random.Random, faults: Mapping[str, float] | None = None) -> None:
        self.happened: Counter[str] = Counter()
        self._acknowledges = chance.choice((0.1, 0.7))
        if faults is None:
            # Where something happens all the time, nobody comes to be served by what others were sent.
            often = chance.choice((1, 1, 1, 0.1))
            faults = {name: weight * often * chance.choice((0, 0, 1, 2)) for name, weight in FAULTS.items()}
        self._names, self._weights = [*STEPS, *faults], [*STEPS.values(), *faults.values()]
        super().__init__(chance)
        self._produced = self._followed = 0
        self.settle(lambda: self.everyone_serves() and len(self.broker.committed) == len(self.sources), 60)
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
        self.record(self.chance.choice((1, 3, None)), self.chance.randint(0, 4))
        router = self.chance.choice(self.routers)
        if router.stalled:
            # What it had handed to its system before still goes out.
            self._send(router)
            return
        if self.chance.random() < 0.5:
            self.work_through(router)
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
                    self._send(router)
                case _:
                    pass
            self.turn(router, self.chance.randint(1, 4))

    def deliver(self) -> None:
        """A gateway does something, or hears something."""
        gateway = self.chance.choice([*self.gateways, *self.zombies])
        if gateway.stalled or gateway.ended:
            return
        if self.chance.random() < 0.3:
            self.serve(gateway)
            return
        if self.chance.random() < 0.8 and gateway.consumer is not None:
            gateway.consumer.show(self.chance.choice((1, 2, None)))
        if self.chance.random() < 0.8:
            self._send(gateway)
        self.turn(gateway, self.chance.randint(1, 3))
        self.listen()

    def pass_time(self) -> None:
        self.clock.advance(self.chance.choice((0.05, 0.1, 0.2, 0.5)))
        for gateway in [*self.gateways, *self.zombies]:
            if not gateway.stalled and gateway.serving:
                gateway.tick()
        self.take_slots_again()
        self.listen()

    def connect(self) -> None:
        # Followers have numbers of their own.
        number = sum(each.number < CLIENTS for each in self.clients)
        if number < CLIENTS:
            user, by_id = self.chance.choice(USERS), self.chance.random() < 0.5
            client = Client(number, user, self.truth, self.epochs, by_id=by_id)
            self.clients.append(client)
            client.connect(self.some_gateway(), self.committed)
            client.subscribe(self.chance.choice(WISHES), self.committed, snapshot=self.chance.random() < 0.3)

    def follow(self) -> None:
        """Somebody asks for what another has asked for at the same gateway, from the same cursor on."""
        followers = [each for each in self.clients if each.number >= CLIENTS]
        if len(followers) >= FOLLOWERS:
            followers[0].disconnect()
            self.clients.remove(followers[0])
        first = self._some_client()
        if first is None or first.socket is None:
            return
        resumed = [each for each in first.subscriptions if each.since is not None]
        if not resumed:
            return
        asked = self.chance.choice(resumed)
        client = Client(CLIENTS + self._followed, self.chance.choice(USERS), self.truth, self.epochs, by_id=False)
        self.clients.append(client)
        client.connect(first.socket.gateway, self.committed)
        client.subscribe(asked.wish, self.committed, since=dict(asked.since or {}))
        self._followed += 1

    def disconnect(self) -> None:
        if (client := self._some_client()) is not None:
            client.disconnect()

    def reconnect(self) -> None:
        """Who is away comes back, with its cursor; who was refused asks again."""
        client = self._some_client()
        if client is None:
            return
        if client.socket is None:
            client.connect(self.some_gateway(), self.committed)
        for each in client.subscriptions:
            if each.state is State.IDLE:
                # Where the cursor has expired, the last values are the way on.
                each.snapshot = each.wish.channel in STATE and (each.snapshot or self.chance.random() < 0.2)
                client.ask(each, self.committed)

    def subscribe(self) -> None:
        client = self._some_client()
        if client is not None and client.socket is not None and len(client.subscriptions) < 2:
            client.subscribe(self.chance.choice(WISHES), self.committed, snapshot=self.chance.random() < 0.3)

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
        self.rejoin()

    def go_on(self) -> None:
        """Whoever is stalled goes on, and finds out what happened without it."""
        for each in self.processes():
            if self.chance.random() < 0.5:
                each.stalled = False

    def kill_router(self) -> None:
        router = self.chance.choice(self.routers)
        self.routers.remove(router)
        router.kill()
        self.start_router()

    def kill_registry(self) -> None:
        self.registry.kill()
        self.start_registry(self.registry.committed)

    def fail_producer(self) -> None:
        router = self.chance.choice(self.routers)
        if not router.stalled:
            for producer in [*router.producers]:
                producer.write(self.chance.randint(0, 2))
                producer.fail()

    def kill_gateway(self) -> None:
        slot = self.chance.randrange(SLOTS)
        self.gateways[slot].kill()
        self.gateways[slot] = self.start_gateway(slot)
        self._forget_killed()

    def stall_gateway(self) -> None:
        self.chance.choice(self.gateways).stalled = True

    def take_slot(self) -> None:
        """The lease of a gateway that is stalled has expired: another one has its slot."""
        for slot, gateway in enumerate(self.gateways):
            if gateway.stalled:
                self.zombies.append(gateway)
                self.gateways[slot] = self.start_gateway(slot)

    def slow_down(self) -> None:
        client = self._some_client()
        if client is not None and client.socket is not None:
            client.socket.slow = client.was_slow = True

    def read_slowly(self) -> None:
        for client in self.clients:
            if client.socket is not None and client.socket.slow:
                client.socket.slow = self.chance.random() < 0.7
                self.read(client, self.chance.choice((300, 2000)))

    def expire(self) -> None:
        """What was routed is held no longer; of a state channel the last values are.

        What is kept is kept for a day, so that it is not gone while a gateway that is up still needs it.
        """
        place, source = self.chance.choice(list(self.sources.items()))
        log = self.broker.logs[source]
        needed = [each.needed(*place) for each in [*self.gateways, *self.zombies] if not each.ended]
        upto = min(self.committed(*place), self.truth.first_last(*place), *needed)
        log.start = self.truth.oldest[place] = self.chance.randint(log.start, max(log.start, upto))

    def shake_redis(self) -> None:
        match self.chance.randrange(6):
            case 0:
                self.redis.empty()
            case 1:
                self.redis.save()
            case 2:
                self.redis.restart()
            case 3:
                self.redis.away = True
            case _:
                self.redis.away = False

    # Inside -------------------------------------------------------------------------------------------------------

    def _mend(self) -> None:
        self.redis.away = False
        for each in self.processes():
            each.stalled = False
        self.group.put_out([each for each in self.group.members if each not in [one.member for one in self.routers]])
        for client in self.clients:
            if client.socket is not None:
                client.socket.slow = False
                self.read_all(client)

    def _everyone_is_level(self) -> bool:
        return all(each.is_level() for each in self.clients)

    def _nothing_is_left(self) -> bool:
        return not any(len(each.activation) or each.hub.rooms for each in self.gateways) and not any(
            len(each.interest.fold.index) for each in self.routers
        )

    def _send(self, process: Router | Gateway) -> None:
        for producer in [*process.producers]:
            producer.write(self.chance.randint(0, 3))
            if self.chance.random() < self._acknowledges:
                producer.acknowledge()

    def _forget_killed(self) -> None:
        for client in self.clients:
            if client.socket is not None and client.socket.gateway.kafka.cut:
                client.disconnect()

    def _some_client(self) -> Client | None:
        return self.chance.choice(self.clients) if self.clients else None
