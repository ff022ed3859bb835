"""Rooms: a channel with a canonical filter. Equal filters are one room, whoever asked and however it was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from common.channels import Channel
from common.errors import InvalidFilter, UnknownChannel
from common.filters import MAX_VALUES, Filter, parse_filter
from common.identifiers import RoomId

_PROTOCOL_PREFIX = "protocol:"


@dataclass(frozen=True, slots=True)
class Room:
    id: RoomId
    channel: Channel
    filter: Filter


@lru_cache(maxsize=1024)
def room_of(channel: Channel, chosen: Filter) -> Room:
    """The room of a channel and a canonical filter; its id is the same in every process: `prices:9f3c2a7be01d4c55`.

    Cached, so that connections in one room share it: 350 bytes each that they need not have.
    """
    digest = blake2b(chosen.canonical(), digest_size=8).hexdigest()
    return Room(RoomId(f"{channel.value}:{digest}"), channel, chosen)


def parse_room(channel: object, filters: object, *, max_values: int = MAX_VALUES) -> Room:
    """The room that a client means by `channel` and `filters`.

    `protocol:<id>` means `protocols` with `protocolIds: [<id>]`. Raises `UnknownChannel` or `InvalidFilter`.
    """
    if not isinstance(channel, str):
        raise UnknownChannel("channel must be a string", field="channel")
    if channel.startswith(_PROTOCOL_PREFIX):
        return _protocol_room(channel.removeprefix(_PROTOCOL_PREFIX), filters, max_values)
    return room_of(parse_channel(channel), parse_filter(filters, max_values=max_values))


def parse_channel(name: object, *, field: str = "channel") -> Channel:
    try:
        return Channel(str(name))
    except ValueError:
        known = ", ".join(channel.value for channel in Channel)
        raise UnknownChannel(f"unknown channel {name!r}; known are {known}", field=field) from None


def _protocol_room(protocol_id: str, filters: object, max_values: int) -> Room:
    if not protocol_id.strip():
        raise UnknownChannel("protocol: needs an id, as in protocol:aave-v3", field="channel")
    if filters is not None and not isinstance(filters, Mapping):
        return room_of(Channel.PROTOCOLS, parse_filter(filters))
    given = dict(filters or {})
    if "protocolIds" in given:
        raise InvalidFilter("the channel names the protocol already", field="filters.protocolIds")
    given["protocolIds"] = [protocol_id]
    return room_of(Channel.PROTOCOLS, parse_filter(given, max_values=max_values))
