"""Interest: which slots want which rooms, folded from the records of `rooms.interest`. Pure.

A slot has one holder at a time, known by its fencing epoch. Whatever record tells a newer epoch than the known one voids what
older holders wanted; records of older epochs are passed over, and those of an epoch under which the slot was emptied. So all
rooms of a slot in the index are of its known epoch.
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
from common.topics import EPOCH_HEADER, STREAM_PREFIX, parse_interest_key
from router.index import RoomsIndex, UnknownRoomId

_ANY_NUMBER = 2**31


class UnreadableInterest(DefistreamError):
    """A record of `rooms.interest` that means nothing."""


@dataclass(frozen=True, slots=True)
class Off:
    """A slot wants a room no more; `epoch`: unless a newer holder does."""

    slot: Slot
    room: RoomId
    epoch: FencingEpoch | None


Change = Interest | SlotTaken | StreamCreated | Off


@dataclass(frozen=True, slots=True)
class Past:
    """What of the past is asked for: see `common.events.Interest`."""

    room: Room
    since: Mapping[int, int] | None
    stream: str | None
    snapshot: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A slot wants a room, now or still: its owners answer with an activation, and before it with the past, if any."""

    slot: Slot
    epoch: FencingEpoch
    room: RoomId
    channel: Channel
    request: int
    past: Past | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A slot has a gateway that is to be told how far our partitions have come."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Holder:
    epoch: FencingEpoch
    gateway: GatewayId | None


def read_interest(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()) -> Change | None:
    """What a record says, `None` for the removal of a slot or stream record. Raises `UnreadableInterest`."""
    name = key or b""
    try:
        if name.startswith(STREAM_PREFIX.encode()):
            return StreamCreated.model_validate_json(value) if value is not None else None
        parsed = parse_interest_key(name)
        if parsed is None:
            raise UnreadableInterest(f"unknown key {name[:64]!r}")
        slot, room = parsed
        if value is None:
            return Off(slot, room, _epoch(headers)) if room is not None else None
        return SlotTaken.model_validate_json(value) if room is None else Interest.model_validate_json(value)
    except ValidationError as error:
        raise UnreadableInterest(str(error).replace("\n", " ")) from error


def _epoch(headers: Iterable[tuple[str, bytes]]) -> FencingEpoch | None:
    text = dict(headers).get(EPOCH_HEADER, b"")
    return FencingEpoch(int(text)) if text.isdigit() else None


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

    def clear(self) -> None:
        """Know nothing, as before the first record."""
        for slot in self.holders:
            self.index.forget(slot)
        for held in (self.read, self.streams, self.holders):
            held.clear()

    def apply(self, change: Change) -> Wanted | Taken | None:
        """Take what a record says. Returns what is to be answered, also for a room that is on already.

        Raises `UnreadableInterest` when a filter is none, or a room's id.
        """
        match change:
            case Interest():
                return self._want(change)
            case SlotTaken():
                taken = self._take(change.slot, Holder(change.epoch, change.gateway))
                return Taken(change.slot) if taken and change.gateway is not None else None
            case StreamCreated():
                self.streams[change.channel] = change.epoch
            case Off():
                if change.epoch is None or change.epoch >= self.epoch(change.slot):
                    self.index.remove(change.slot, change.room)
        return None

    def _take(self, slot: Slot, holder: Holder) -> bool:
        """A slot has a holder, or none: what older ones wanted is void. False where a newer one is known."""
        known = self.holders.get(slot)
        if known is not None and known.epoch > holder.epoch:
            return False
        if holder.gateway is None or (known is not None and known.epoch < holder.epoch):
            self.index.forget(slot)
        self.holders[slot] = holder
        return True

    def _want(self, interest: Interest) -> Wanted | None:
        known = self.holders.get(interest.slot)
        if known is not None and self._is_void(interest.epoch, known):
            return None
        try:
            chosen = parse_filter(interest.filter, max_values=_ANY_NUMBER)
        except FieldError as error:
            raise UnreadableInterest(error.message) from error
        if known is None or known.epoch < interest.epoch:
            self._take(interest.slot, Holder(interest.epoch, interest.gateway))
        room = Room(interest.room, interest.channel, chosen)
        try:
            self.index.add(interest.slot, room)
        except UnknownRoomId as error:
            raise UnreadableInterest(f"no room of {interest.channel} has the id {interest.room[:64]!r}") from error
        asks = interest.since is not None or interest.snapshot
        past = Past(room, interest.since, interest.stream, interest.snapshot) if asks else None
        return Wanted(interest.slot, interest.epoch, interest.room, interest.channel, interest.request, past)

    @staticmethod
    def _is_void(epoch: FencingEpoch, known: Holder) -> bool:
        return epoch < known.epoch or (epoch == known.epoch and known.gateway is None)
