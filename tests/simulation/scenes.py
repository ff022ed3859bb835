"""Histories that chance seldom draws, told step by step; they end as any other does (`World.end`)."""

from __future__ import annotations

from common import redis_keys
from tests.simulation.clients import Client
from tests.simulation.gateways import Gateway
from tests.simulation.routers import Router
from tests.simulation.truth import WISHES
from tests.simulation.world import World
from tests.support.matcher import Wish

_EMPTIED, _TURNS, _LONG = 12, 24, 200
_CHECKPOINT = 25
"""Rounds in which each table's checkpoint is written."""
_EVENTS = ("liquidations", 0)
_WISH = next(each for each in WISHES if each.channel == "liquidations" and not each.filters)
_STATE_WISH = next(each for each in WISHES if each.channel == "prices" and not each.filters)


def answered_by_a_former_owner(world: World) -> None:
    """A subscribe is answered by a router that has lost the partition and does not know, before its successor, who has read
    interest up to just before, is heard of; and then there is an update.
    """
    gateway = world.gateways[0]
    world.settle(lambda: any(_EVENTS in each.partitions._ownership.owned() for each in world.routers), 100)
    # Nothing is on its way any more, for which who loses its partitions would wait.
    world.settle(lambda: False, 10)
    former = next(each for each in world.routers if _EVENTS in each.partitions._ownership.owned())
    successor = next(each for each in world.routers if each is not former)
    world.group.put_out([member for member in (former.member,) if member is not None])
    for _ in range(20):
        for consumer in successor.kafka.consumers:
            consumer.show()
        _think(world, successor)
    assert _EVENTS in successor.partitions._ownership.owned()
    client = Client(len(world.clients), "nobody", world.truth, world.epochs, by_id=False)
    world.clients.append(client)
    client.connect(gateway, lambda *_place: 0)
    client.subscribe(_WISH, lambda *_place: 0, snapshot=False)
    world.serve(gateway)
    world.work_through(former)
    world.work_through(former)
    world.serve(gateway)
    assert client.subscriptions[0].told is not None, "the former owner has answered"
    while not any(each.concerns(_WISH, "nobody") for each in world.truth.logs[_EVENTS][-1:]):
        world.produce()
    if (member := successor.member) is not None:
        member.show()
    for _ in range(6):
        _think(world, successor)
        world.send_all(successor)
    world.serve(gateway)


def _think(world: World, router: Router) -> None:
    """It goes on with what it knows."""
    world.clock.advance(0.1)
    world.turn(router, 3)


def emptied_in_between(world: World) -> None:
    """Redis is emptied between any two calls of the registry and of a router that starts; then there are updates."""
    for _ in range(_EMPTIED):
        world.registry.committed.clear()
        world.step("kill_registry")
        # All is on record again.
        world.settle(lambda: False, 3)
        world.step(world.chance.choice(("connect", "subscribe", "unsubscribe")))
        for gateway in world.gateways:
            world.serve(gateway)
        emptied, killed = world.chance.randrange(_TURNS), world.chance.randrange(_TURNS)
        for turn in range(_TURNS):
            if turn == emptied:
                world.redis.empty()
            if turn == killed:
                world.step("kill_router")
            world.record(None, 1)
            world.turn(world.routers[-1], 1)
        world.step("produce")
        world.settle(lambda: False, 4)


def reaped_and_emptied(world: World) -> None:
    """A gateway stands still for longer than its lease; what is known of that in Redis is lost before it goes on."""
    gateway = world.gateways[0]
    client = _join(world, gateway, _WISH)
    world.settle(client.is_level, _LONG)
    _reap_and_empty(world, gateway)


def reaped_before_it_reads(world: World) -> None:
    """The same of a gateway that has claimed its slot and does not read its deliveries yet."""
    world.step("kill_gateway")
    gateway = world.gateways[-1] if world.gateways[0].serving else world.gateways[0]
    _reap_and_empty(world, gateway)
    _join(world, world.gateways[gateway.lease.slot], _WISH)


def _reap_and_empty(world: World, gateway: Gateway) -> None:
    gateway.stalled = True
    world.settle(lambda: world.redis.read(redis_keys.slot(gateway.lease.slot), "gateway") == [""], _LONG)
    world.step("produce")
    world.redis.empty()
    gateway.stalled = False
    world.settle(lambda: False, _TURNS)


def put_back_between_checkpoints(world: World) -> None:
    """Redis comes back as it was some checkpoints ago, and another is written; then all partitions get other owners."""
    for happens in (world.redis.save, world.redis.restart, lambda: None):
        for _ in range(_EMPTIED):
            world.step("produce")
        world.settle(lambda: False, _CHECKPOINT)
        happens()
    before = set(world.routers)
    while before & set(world.routers):
        world.step("kill_router")
    client = _join(world, world.some_gateway(), _STATE_WISH, snapshot=True)
    world.settle(client.is_level, _LONG)


def _join(world: World, gateway: Gateway, wish: Wish, *, snapshot: bool = False) -> Client:
    """A client, if need be one more than others may connect."""
    client = Client(len(world.clients), "nobody", world.truth, world.epochs, by_id=False)
    world.clients.append(client)
    world.settle(world.everyone_serves, _LONG)
    client.connect(gateway, world.committed)
    client.subscribe(wish, world.committed, snapshot=snapshot)
    return client
