"""The topics: the only place that spells their names, and how each is kept (docs/asyncapi.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from common.channels import STATE_CHANNELS, SYSTEM, Channel
from common.identifiers import RoomId, Slot

_CHANNELS = {channel.value: channel for channel in Channel}
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

UPDATES_PREFIX = "updates."
SLOT_SEPARATOR = ":"
STREAM_PREFIX = "stream:"
EPOCH_HEADER = "epoch"
"""Header of a null record of rooms.interest: the slot's fencing epoch, in decimal digits, up to which the room is taken back."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    by_slot: bool = False
    """Whether a partition is a gateway's slot, so that too few of them cannot be worked with."""


def _kept(milliseconds: int, **config: str) -> Mapping[str, str]:
    return MappingProxyType({"cleanup.policy": "delete", "retention.ms": str(milliseconds), **config})


_COMPACTED = MappingProxyType({"cleanup.policy": "compact"})
_STATE = MappingProxyType({"cleanup.policy": "compact", "min.compaction.lag.ms": str(_DAY_MS)})


@dataclass(frozen=True, slots=True)
class Topics:
    """The names under an optional prefix (`TOPIC_PREFIX`), and how many partitions each gets where it is made."""

    prefix: str = ""
    slots: int = 64
    updates_partitions: int = 4
    events_partitions: int = 8

    def updates(self, channel: Channel) -> str:
        return self._name(UPDATES_PREFIX + channel.value)

    @property
    def system(self) -> str:
        return self._name(UPDATES_PREFIX + SYSTEM)

    @property
    def dead_letter(self) -> str:
        return self._name(UPDATES_PREFIX + "dead-letter")

    @property
    def connections_events(self) -> str:
        return self._name("connections.events")

    @property
    def subscriptions_events(self) -> str:
        return self._name("subscriptions.events")

    @property
    def rooms_interest(self) -> str:
        return self._name("rooms.interest")

    @property
    def auth_requests(self) -> str:
        return self._name("auth.requests")

    @property
    def auth_replies(self) -> str:
        return self._name("auth.replies")

    @property
    def auth_revocations(self) -> str:
        return self._name("auth.revocations")

    @property
    def deliveries(self) -> str:
        return self._name("deliveries")

    def channel_of(self, topic: str) -> Channel | None:
        """The channel of an updates topic, `None` for `updates.system` and topics of another kind."""
        name = topic.removeprefix(self.prefix).removeprefix(UPDATES_PREFIX)
        return _CHANNELS.get(name)

    def sources(self) -> tuple[str, ...]:
        """What the router group consumes."""
        return (*(self.updates(channel) for channel in Channel), self.system)

    def specs(self) -> tuple[TopicSpec, ...]:
        return (
            *(self._updates_spec(channel) for channel in Channel),
            TopicSpec(self.system, 1, _kept(_HOUR_MS)),
            TopicSpec(self.dead_letter, self.updates_partitions, _kept(7 * _DAY_MS)),
            TopicSpec(self.connections_events, self.events_partitions, _kept(7 * _DAY_MS)),
            TopicSpec(self.subscriptions_events, self.events_partitions, _kept(7 * _DAY_MS)),
            TopicSpec(self.rooms_interest, self.updates_partitions, _COMPACTED),
            TopicSpec(self.auth_requests, self.events_partitions, _kept(_HOUR_MS)),
            TopicSpec(self.auth_replies, self.slots, _kept(_HOUR_MS), by_slot=True),
            TopicSpec(self.auth_revocations, 1, _COMPACTED),
            TopicSpec(self.deliveries, self.slots, _kept(_HOUR_MS), by_slot=True),
        )

    def _updates_spec(self, channel: Channel) -> TopicSpec:
        return TopicSpec(
            self.updates(channel), self.updates_partitions, _STATE if channel in STATE_CHANNELS else _kept(_DAY_MS)
        )

    def _name(self, name: str) -> str:
        return self.prefix + name


# Keys of rooms.interest ---------------------------------------------------------------------------------------------


def interest_key(slot: Slot, room: RoomId) -> bytes:
    return f"{slot}{SLOT_SEPARATOR}{room}".encode()


def slot_key(slot: Slot) -> bytes:
    return f"{slot}{SLOT_SEPARATOR}".encode()


def stream_key(channel: str) -> bytes:
    return f"{STREAM_PREFIX}{channel}".encode()


def parse_interest_key(key: bytes) -> tuple[Slot, RoomId | None] | None:
    """Slot and room of an interest key, room `None` for a slot record; `None` for a stream record or a foreign key."""
    slot, separator, room = key.decode("utf-8", "replace").partition(SLOT_SEPARATOR)
    if not separator or not slot.isascii() or not slot.isdigit():
        return None
    return Slot(int(slot)), RoomId(room) if room else None
