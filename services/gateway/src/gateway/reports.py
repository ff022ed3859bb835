"""What the registry is told of this gateway's connections: `connections.events` and `subscriptions.events`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.clock import Clock
from common.events import (
    ConnectionClosed,
    ConnectionOpened,
    ConnectionsSeen,
    FromGateway,
    Subscribed,
    Unsubscribed,
)
from common.identifiers import ConnectionId, FencingEpoch, GatewayId, KeyHash, RoomId, Slot
from common.rooms import Room
from common.topics import Topics
from gateway.records import Records

_SEEN_PER_RECORD = 500


class Reports:
    """Nothing is told without a lease: the slot's next holder, or the reaper, has cleared up after us then."""

    def __init__(self, gateway: GatewayId, records: Records, topics: Topics, clock: Clock) -> None:
        self._gateway = gateway
        self._records = records
        self._connections = topics.connections_events
        self._subscriptions = topics.subscriptions_events
        self._clock = clock
        self._lease: tuple[Slot, FencingEpoch] | None = None

    @property
    def possible(self) -> bool:
        """Whether a new connection could be told of."""
        return self._lease is not None and not self._records.is_full

    def leased(self, slot: Slot, epoch: FencingEpoch) -> None:
        self._lease = (slot, epoch)

    def lost(self) -> None:
        self._lease = None

    def opened(
        self,
        connection: ConnectionId,
        *,
        key_hash: KeyHash,
        user: str | None,
        address: str,
        connected_at: int | None = None,
    ) -> None:
        """`connected_at`: milliseconds since 1970, where that is not now."""
        if self._lease is None:
            return
        slot, epoch = self._lease
        now_ms = self._clock.now_ms()
        event = ConnectionOpened(
            slot=slot,
            epoch=epoch,
            at=now_ms,
            connection=connection,
            gateway=self._gateway,
            key_hash=key_hash,
            user=user,
            address=address,
            connected_at=now_ms if connected_at is None else connected_at,
        )
        self._tell(self._connections, connection, event)

    def closed(self, connection: ConnectionId, code: int) -> None:
        if self._lease is not None:
            slot, epoch = self._lease
            event = ConnectionClosed(slot=slot, epoch=epoch, at=self._clock.now_ms(), connection=connection, code=code)
            self._tell(self._connections, connection, event)

    def seen(self, connections: Sequence[ConnectionId]) -> None:
        if self._lease is None:
            return
        slot, epoch = self._lease
        for start in range(0, len(connections), _SEEN_PER_RECORD):
            some = list(connections[start : start + _SEEN_PER_RECORD])
            event = ConnectionsSeen(slot=slot, epoch=epoch, at=self._clock.now_ms(), connections=some)
            self._tell(self._connections, str(slot), event)

    def subscribed(self, connection: ConnectionId, rooms: Iterable[Room]) -> None:
        if self._lease is None:
            return
        slot, epoch = self._lease
        for room in rooms:
            event = Subscribed(
                slot=slot,
                epoch=epoch,
                at=self._clock.now_ms(),
                connection=connection,
                room=room.id,
                channel=room.channel,
                filter=room.filter.to_json(),
            )
            self._tell(self._subscriptions, connection, event)

    def unsubscribed(self, connection: ConnectionId, room: RoomId) -> None:
        if self._lease is not None:
            slot, epoch = self._lease
            event = Unsubscribed(slot=slot, epoch=epoch, at=self._clock.now_ms(), connection=connection, room=room)
            self._tell(self._subscriptions, connection, event)

    def _tell(self, topic: str, key: str, event: FromGateway) -> None:
        self._records.put(topic, key.encode(), event.encode())
