"""A gateway's hub between clients that come and go and routers that gain, lose, stall and crash. One process, no clock but a count.

The gateway's parts are the product's own (hub, activation, catching up, positions). The routers are plain: they keep the rules of
docs/adr/0008 and match by naming the rooms of each update. Every frame and every cursor told is checked against a plain look at the logs.
"""

from __future__ import annotations

import random

from tests.simulation.gateways import Client, Gateway
from tests.simulation.routers import PARTITIONS, RETRY, USERS, Broker, Failure, Router, Update, rooms

STEPS = (
    ["update"] * 8
    + ["router"] * 14
    + ["gateway"] * 8
    + ["connect"] * 2
    + [
        "leave",
        "resume",
        "resume",
        "rebalance",
        "rebalance",
        "stall",
        "notice",
        "heartbeat",
        "heartbeat",
        "tick",
        "tick",
    ]
    + ["kill", "acknowledge", "acknowledge"]
)


class World:
    def __init__(self, seed: int, mutation: str = "") -> None:
        self.random = random.Random(seed)
        self.broker = Broker()
        self.gateway = Gateway(self.broker, mutation)
        self.routers = [Router(number, self.broker, mutation) for number in range(2)]
        self.stalled: set[int] = set()
        self.people = 0
        for partition in range(PARTITIONS):
            self.routers[0].assign(partition)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step(self.random.choice(STEPS))
        self.quiesce()

    def step(self, name: str) -> None:  # noqa: C901, PLR0912 - flat, one case a step
        r, gateway = self.random, self.gateway
        router = r.choice(self.routers)
        match name:
            case "update":
                matches = frozenset(room.id for room in rooms if r.random() < 0.6)
                r.choice(self.broker.updates).append(Update(matches, r.choice((None, None, "alice"))))
            case "connect" if len(gateway.clients) < 4:
                self.people += 1
                gateway.connect(Client(self.people, r.choice(rooms), r.choice(USERS)))
            case "leave" if ready := [each for each in gateway.clients if each.subscribed or each.catching_up]:
                gateway.leave(r.choice(ready))
            case "resume" if ready := [each for each in gateway.clients if each.told is not None]:
                client = r.choice(ready)
                gateway.leave(client)
                gateway.connect(client)
            case "rebalance":
                partition = r.randrange(PARTITIONS)
                able = [each for each in self.routers if each.number not in self.stalled]
                if able:
                    self.broker.owner[partition] = (new := r.choice(able)).number
                    new.assign(partition)
            case "stall":
                self.stalled ^= {router.number}
            case "kill":
                router.restart()
                for partition, owner in enumerate(self.broker.owner):
                    if owner == router.number:
                        router.assign(partition)
            case "notice":
                router.notice_loss()
            case "router":
                self.work(router)
            case "gateway":
                for _ in range(r.randint(1, 6)):
                    gateway.step()
            case "heartbeat":
                gateway.heartbeat()
            case "tick":
                self.tick()
            case "acknowledge":
                gateway.acknowledge()

    def tick(self) -> None:
        gateway = self.gateway
        gateway.now += 1
        gateway.activation.tick(gateway.now)
        gateway.hub.catching_up.tick(gateway.now)

    def work(self, router: Router) -> None:
        stalled = router.number in self.stalled
        for _ in range(self.random.randint(1, 4)):
            partition = self.random.randrange(PARTITIONS)
            choice = self.random.randrange(3 if stalled else 5)
            match choice:
                case 0:
                    router.route(partition)
                case 1:
                    router.flush(partition)
                case 2:
                    router.commit(partition)
                case 3:
                    router.read_interest()
                case _:
                    router.finish_taking()

    def quiesce(self) -> None:
        """Nothing fails any more: everyone must come to have everything."""
        self.stalled.clear()
        for _ in range(12):
            for _ in range(int(RETRY) + 1):
                self.tick()
            self.gateway.acknowledge()
            for _ in range(40):
                for router in self.routers:
                    router.notice_loss()
                    router.read_interest()
                    router.finish_taking()
                    for partition in range(PARTITIONS):
                        router.route(partition)
                        router.flush(partition)
                        router.commit(partition)
                for _ in range(60):
                    self.gateway.step()
        self.gateway.heartbeat()
        for client in self.gateway.clients:
            if not client.subscribed or client.catching_up:
                raise Failure(f"client {client.number} never came to be live")
            for partition in range(PARTITIONS):
                self.gateway.check_complete(client, partition, len(self.broker.updates[partition]) - 1)
