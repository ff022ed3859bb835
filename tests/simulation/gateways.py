"""The product's hub, with clients that check every frame and every cursor told against a plain look at the logs."""

from __future__ import annotations

from collections.abc import Mapping

from common.cursor import Cursor, parse_cursor
from common.deliveries import VERSION, Delivery, Segment
from common.identifiers import RoomId
from common.rooms import Room
from gateway.activation import Activation
from gateway.catching import CatchingUp, CatchUp
from gateway.hub import Hub
from gateway.outbox import Entity
from gateway.positions import Positions
from tests.simulation.mutations import part
from tests.simulation.routers import CHANNEL, EPOCH, PARTITIONS, RETRY, TIMEOUT, Broker, Failure, Record


class Client:
    """A person with one connection at a time, in one room. `told` is where it would resume."""

    def __init__(self, number: int, room: Room, user: str | None) -> None:
        self.number, self.room, self.user = number, room, user
        self.frames: list[bytes] = []
        self.catching_up = 0
        self.subscribed = False
        self.told: dict[int, int] | None = None
        self.start: dict[int, int] = {}
        self.had: set[tuple[int, int]] = set()
        self.connection_had: set[tuple[int, int]] = set()

    def flush(self, _entities: Mapping[int, Entity]) -> None:
        self.frames.clear()


class Gateway:
    """The product's hub, with the interest topic behind it. A frame's body is its offset; the partition is the segment's."""

    def __init__(self, broker: Broker, mutation: str = "") -> None:
        self.broker, self.read, self.now = broker, 0, 0.0
        self.clients: list[Client] = []
        self.unacknowledged: list[tuple[RoomId, int, int]] = []
        self.positions: Positions = part(mutation, Positions)()
        self.activation: Activation = part(mutation, Activation)(
            self,
            partitions=lambda _channel: PARTITIONS,
            recovering=self.positions.recover,
            position=self.positions.position,
            stream=lambda _channel: EPOCH,
            retry=RETRY,
            timeout=TIMEOUT,
        )
        catching = part(mutation, CatchingUp)(
            self,
            self.activation,
            self.positions,
            partitions=lambda _channel: PARTITIONS,
            retry=RETRY,
            timeout=TIMEOUT,
        )
        self.hub = Hub(self.activation, catching, self.positions, clock=lambda: self.now)
        self.mutation = mutation

    def want(
        self,
        room: Room,
        request: int,
        *,
        since: Mapping[int, int] | None = None,
        stream: str | None = None,
        snapshot: bool = False,
    ) -> None:
        self.broker.interest.append(Record(room.id, request, dict(since) if since is not None else None))
        self.unacknowledged.append((room.id, request, len(self.broker.interest) - 1))

    def unwant(self, room: Room) -> None:
        self.broker.interest.append(Record(room.id, None))

    def acknowledge(self) -> None:
        for room, request, offset in self.unacknowledged:
            self.activation.written(room, request, 0, offset)
        self.unacknowledged.clear()

    # Clients ---------------------------------------------------------------------------------------------------------

    def connect(self, client: Client) -> None:
        self.clients.append(client)
        client.subscribed, client.connection_had, client.frames = False, set(), []
        self.hub.register(client)
        if client.told is None:

            def done() -> None:
                client.subscribed = True
                client.told = client.start = self.offsets(self.positions.joining_cursor(CHANNEL))

            client_failed = _raise_failed
            self.hub.join(client, (client.room,), done=done, failed=client_failed)
        else:
            since = Cursor(EPOCH, {p: o for p, o in client.told.items() if o >= 0})
            self.hub.catch_up(CatchUp(client, client.room, since, False, Listener(self, client), dict(since.offsets)))

    def leave(self, client: Client) -> None:
        self.clients.remove(client)
        if client.subscribed or client.catching_up:
            self.hub.unregister(client, (client.room,))

    def cursor(self) -> dict[int, int]:
        return self.offsets(self.positions.cursor(CHANNEL))

    def offsets(self, text: str) -> dict[int, int]:
        offsets = parse_cursor(text).offsets if not text.startswith(".") else {}
        return {partition: offsets.get(partition, -1) for partition in range(PARTITIONS)}

    # Deliveries ------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        if self.read >= len(self.broker.deliveries):
            return
        partition, generation, item = self.broker.deliveries[self.read]
        self.read += 1
        if self.mutation == "no-generation":
            generation = 10**9
        self.hub.deliver(Delivery(VERSION, 1, 0, [Segment(CHANNEL, partition, generation, EPOCH, [item])]))
        for client in self.clients:
            for frame in client.frames:
                self.received(client, partition, int(frame[2:]))
        self.hub.flush()

    def received(self, client: Client, partition: int, offset: int) -> None:
        update = self.broker.updates[partition][offset]
        name = f"client {client.number} got {partition}:{offset}"
        if client.room.id not in update.matches:
            raise Failure(f"{name}, which is not of its room")
        if update.user not in (None, client.user):
            raise Failure(f"{name}, which is private to {update.user}")
        if (partition, offset) in client.connection_had:
            raise Failure(f"{name} twice")
        if any(p == partition and o > offset for p, o in client.connection_had):
            raise Failure(f"{name} late")
        client.connection_had.add((partition, offset))
        client.had.add((partition, offset))

    def heartbeat(self) -> None:
        for client in self.clients:
            if client.subscribed and not client.catching_up:
                self.tell(client)

    def tell(self, client: Client) -> None:
        """Tell the cursor, which moves a client on only forwards."""
        told = client.told or {}
        client.told = {partition: max(at, told.get(partition, -1)) for partition, at in self.cursor().items()}
        for partition, upto in client.told.items():
            self.check_complete(client, partition, upto)

    def check_complete(self, client: Client, partition: int, upto: int) -> None:
        if partition not in client.start:
            return
        log = self.broker.updates[partition]
        for offset in range(client.start[partition] + 1, min(upto, len(log) - 1) + 1):
            update = log[offset]
            wanted = client.room.id in update.matches and update.user in (None, client.user)
            if wanted and (partition, offset) not in client.had:
                raise Failure(f"client {client.number} was told {partition}:{upto} and misses {partition}:{offset}")


def _raise_failed(message: str) -> None:
    raise Failure(f"a subscribe failed: {message}")


class Listener:
    def __init__(self, gateway: Gateway, client: Client) -> None:
        self._gateway, self._client = gateway, client

    def begun(self) -> None: ...

    def caught_up(self, frames: int, *, snapshot: bool) -> None:
        client = self._client
        client.subscribed = True
        # The frames of this step are with the client before the end is told.
        partition = self._gateway.broker.deliveries[self._gateway.read - 1][0]
        for frame in client.frames:
            self._gateway.received(client, partition, int(frame[2:]))
        client.frames.clear()
        self._gateway.tell(client)

    def expired(self, message: str, oldest: Cursor) -> None:
        raise Failure(message)

    def refused(self, message: str) -> None:
        raise Failure(message)

    def failed(self, message: str) -> None:
        raise Failure(message)
