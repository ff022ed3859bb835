"""What this slot wants, written to `rooms.interest`: on and off of one room keep their order, as they share a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from common.events import Interest, SlotTaken
from common.identifiers import FencingEpoch, GatewayId, RoomId, Slot
from common.rooms import Room
from common.topics import EPOCH_HEADER, Topics, interest_key, slot_key
from gateway.records import Records

Written = Callable[[RoomId, int, int, int], None]


class InterestRecords:
    """`gateway.activation.Interest` on Kafka. `written(room, request, partition, offset)` is called when the broker has a record."""

    def __init__(self, records: Records, topics: Topics, gateway: GatewayId) -> None:
        self._records = records
        self._topic = topics.rooms_interest
        self._gateway = gateway
        self._lease: tuple[Slot, FencingEpoch] | None = None
        self.written: Written = lambda _room, _request, _partition, _offset: None

    def leased(self, slot: Slot, epoch: FencingEpoch) -> None:
        """Say that the slot is ours: interest of older epochs is void from here on."""
        self._lease = (slot, epoch)
        self._records.put(
            self._topic, slot_key(slot), SlotTaken(slot=slot, epoch=epoch, gateway=self._gateway).encode()
        )

    def released(self) -> None:
        """Say that the slot is empty; what it wanted was taken back room by room."""
        if self._lease is not None:
            slot, epoch = self._lease
            self._records.put(self._topic, slot_key(slot), SlotTaken(slot=slot, epoch=epoch).encode())
        self._lease = None

    def lost(self) -> None:
        """The slot is another gateway's: nothing of it is ours to take back."""
        self._lease = None

    def want(
        self,
        room: Room,
        request: int,
        *,
        since: Mapping[int, int] | None = None,
        stream: str | None = None,
        snapshot: bool = False,
    ) -> None:
        if self._lease is None:
            return
        slot, epoch = self._lease
        record = Interest(
            slot=slot,
            epoch=epoch,
            gateway=self._gateway,
            room=room.id,
            channel=room.channel,
            filter=room.filter.to_json(),
            request=request,
            since=dict(since) if since is not None else None,
            stream=stream,
            snapshot=snapshot,
        )

        def acknowledged(partition: int, offset: int) -> None:
            self.written(room.id, request, partition, offset)

        self._records.put(self._topic, interest_key(slot, room.id), record.encode(), acknowledged=acknowledged)

    def unwant(self, room: Room) -> None:
        self.take_back(room.id)

    def take_back(self, room: RoomId) -> None:
        if self._lease is not None:
            slot, epoch = self._lease
            # A null has no fields to carry the epoch, and a stalled gateway's must not void what the slot's next holder wants.
            headers = ((EPOCH_HEADER, str(epoch).encode()),)
            self._records.put(self._topic, interest_key(slot, room), None, headers=headers)
