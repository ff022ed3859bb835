"""Directory: the rooms of a channel by their ids: which slots want each, and its filter, for when it goes. Pure.

A room's id is a hash of 64 bits, so pages of rooms by its first bits are of even size; each is kept as MessagePack. At a million rooms
that is 60 bytes a room, where objects would be 250, and 4 us to change one.
"""

from __future__ import annotations

from typing import NewType

import msgspec
from pyroaring import BitMap

from common.filters import Filter
from common.identifiers import Slot

Number = NewType("Number", int)
"""The hash in a room's id."""

_PAGES = 1 << 15
_SHIFT = 64 - 15


class _Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    slots: tuple[int, ...]
    chains: tuple[str, ...]
    max_value: int | float | None
    min_value: int | float | None
    protocol_ids: tuple[str, ...]
    token_ids: tuple[str, ...]
    user_id: str | None


_pack = msgspec.msgpack.Encoder().encode
_page = msgspec.msgpack.Decoder(dict[int, bytes]).decode
_entry = msgspec.msgpack.Decoder(_Entry).decode
_EMPTY = _pack({})


class Directory:
    def __init__(self) -> None:
        self._pages: list[bytes] = []
        self._rooms = 0
        self._wants: dict[Slot, _Wants] = {}

    def __len__(self) -> int:
        return self._rooms

    @property
    def slots(self) -> dict[Slot, _Wants]:
        """Slots that want at least one room."""
        return self._wants

    def rooms_of(self, slot: Slot) -> list[Number]:
        wants = self._wants.get(slot)
        pages = wants.pages if wants is not None else ()
        return [
            Number(number)
            for page in pages
            for number, packed in _page(self._pages[page]).items()
            if slot in _entry(packed).slots
        ]

    def add(self, slot: Slot, number: Number, chosen: Filter) -> bool:
        """Returns whether the slot did not want the room before."""
        if not self._pages:
            self._pages = [_EMPTY] * _PAGES
        at = number >> _SHIFT
        page = _page(self._pages[at])
        known = page.get(number)
        slots: tuple[int, ...] = ()
        if known is None:
            self._rooms += 1
        else:
            entry = _entry(known)
            if slot in entry.slots:
                return False
            slots, chosen = entry.slots, _filter(entry)
        page[number] = _packed((*slots, slot), chosen)
        self._pages[at] = _pack(page)
        wants = self._wants.setdefault(slot, _Wants())
        wants.count += 1
        wants.pages.add(at)
        return True

    def remove(self, slot: Slot, number: Number) -> Filter | None:
        """Returns the filter of the room, `None` where the slot did not want it."""
        wants = self._wants.get(slot)
        if wants is None:
            return None
        at = number >> _SHIFT
        page = _page(self._pages[at])
        known = page.get(number)
        entry = _entry(known) if known is not None else None
        if entry is None or slot not in entry.slots:
            return None
        chosen = _filter(entry)
        left = tuple(other for other in entry.slots if other != slot)
        if left:
            page[number] = _packed(left, chosen)
        else:
            del page[number]
            self._rooms -= 1
        self._pages[at] = _pack(page)
        wants.count -= 1
        if not wants.count:
            del self._wants[slot]
        return chosen


class _Wants:
    """What a slot wants: how many rooms, and pages where they are. A page whose last one went stays, at no harm."""

    __slots__ = ("count", "pages")

    def __init__(self) -> None:
        self.count = 0
        self.pages = BitMap()


def _packed(slots: tuple[int, ...], chosen: Filter) -> bytes:
    return _pack(
        _Entry(
            slots,
            chosen.chains,
            chosen.max_value,
            chosen.min_value,
            chosen.protocol_ids,
            chosen.token_ids,
            chosen.user_id,
        )
    )


def _filter(entry: _Entry) -> Filter:
    return Filter(entry.chains, entry.max_value, entry.min_value, entry.protocol_ids, entry.token_ids, entry.user_id)
