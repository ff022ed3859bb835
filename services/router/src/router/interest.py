"""Interest: which slots want which rooms, folded from the records of `rooms.interest`. Pure.

A slot has one holder at a time, known by its fencing epoch. Whatever record tells a newer epoch than the known one voids what older
holders wanted; records of older epochs are passed over, and those of an epoch under which the slot was emptied. So all rooms of a slot in the index are of its known epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from common.channels import Channel
from common.errors import DefistreamError, FieldError
from common.events import Interest, SlotTaken, StreamCreated
from common.filters import parse_filter
from common.identifiers import FencingEpoch, GatewayId, RoomId, Slot
from common.rooms import Room
from common.topics import STREAM_PREFIX, parse_interest_key
from router.index import RoomsIndex

EPOCH_HEADER = "epoch"
"""Header of a null record, optional: the fencing epoch up to which the room is taken back."""
_ANY_NUMBER = 2**31


class UnreadableInterest(DefistreamError):
    """A record of `rooms.interest` that means nothing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A slot wants a room, now or still: its owners answer with an activation."""

    slot: Slot
    room: RoomId
    channel: Channel
    request: int


@dataclass(frozen=True, slots=True)
class Holder:
    epoch: FencingEpoch
    gateway: GatewayId | None


@dataclass(slots=True)
class InterestFold:
    """The state after the records read so far. `read`: partition -> next offset."""

    index: RoomsIndex = field(default_factory=RoomsIndex)
    read: dict[int, int] = field(default_factory=dict)
    streams: dict[str, str] = field(default_factory=dict)
    holders: dict[Slot, Holder] = field(default_factory=dict)

    def epoch(self, slot: Slot) -> FencingEpoch:
        holder = self.holders.get(slot)
        return holder.epoch if holder is not None else FencingEpoch(0)

    def live(self) -> Sequence[Slot]:
        """Slots that have a gateway."""
        return [slot for slot, holder in self.holders.items() if holder.gateway is not None]

    def apply(
        self,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> Wanted | None:
        """Take one record. Returns what is to be activated, also for a room that is on already.

        Raises `UnreadableInterest`; the record counts as read.
        """
        self.read[partition] = offset + 1
        text = (key or b"").decode("utf-8", "replace")
        if text.startswith(STREAM_PREFIX):
            self._stream(value)
            return None
        parsed = parse_interest_key(key or b"")
        if parsed is None:
            raise UnreadableInterest(f"unknown key {text[:64]!r}")
        slot, room = parsed
        if value is None:
            self._off(slot, room, dict(headers))
            return None
        try:
            if room is None:
                self.take(SlotTaken.model_validate_json(value))
                return None
            return self.want(Interest.model_validate_json(value))
        except (ValidationError, FieldError) as error:
            raise UnreadableInterest(str(error).splitlines()[0]) from error

    def take(self, taken: SlotTaken) -> None:
        """A slot has a holder, or none: what older ones wanted is void."""
        known = self.holders.get(taken.slot)
        if known is not None and known.epoch > taken.epoch:
            return
        if taken.gateway is None or (known is not None and known.epoch < taken.epoch):
            self.index.forget(taken.slot)
        self.holders[taken.slot] = Holder(taken.epoch, taken.gateway)

    def want(self, interest: Interest) -> Wanted | None:
        """Raises `FieldError` when the filter is none."""
        known = self.holders.get(interest.slot)
        if known is not None and (
            interest.epoch < known.epoch or (interest.epoch == known.epoch and known.gateway is None)
        ):
            return None
        room = Room(interest.room, interest.channel, parse_filter(interest.filter, max_values=_ANY_NUMBER))
        if known is None or known.epoch < interest.epoch:
            self.take(SlotTaken(slot=interest.slot, epoch=interest.epoch, gateway=interest.gateway))
        self.index.add(interest.slot, room)
        return Wanted(interest.slot, room.id, room.channel, interest.request)

    def _off(self, slot: Slot, room: RoomId | None, headers: Mapping[str, bytes]) -> None:
        if room is None:
            return
        epoch = headers.get(EPOCH_HEADER, b"")
        if epoch.isdigit() and int(epoch) < self.epoch(slot):
            return
        self.index.remove(slot, room)

    def _stream(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            created = StreamCreated.model_validate_json(value)
        except ValidationError as error:
            raise UnreadableInterest(str(error).splitlines()[0]) from error
        self.streams[created.channel] = created.epoch
