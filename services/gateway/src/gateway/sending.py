"""What one connection is sent: fan-out's frames joined once a tick, replies in between, an outbox while the peer is slow."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from gateway.members import NONE_WAIT, Frames
from gateway.outbox import Entity, Outbox

if TYPE_CHECKING:
    from gateway.connections import Connections
    from gateway.fan_out import HubRoom

_WRITE_HIGH_WATER = 64 * 1024


class FrameSender(asyncio.Protocol):
    """The sending half of a connection; `gateway.members.Member` but for its user."""

    __slots__ = ("_outbox", "_transport", "catching_up", "frames", "home", "owner", "rooms", "sent")

    def __init__(self, owner: Connections) -> None:
        self.owner = owner
        self.frames: Frames = NONE_WAIT
        self.home: HubRoom | None = None
        self.rooms = 0
        self.sent = 0
        self.catching_up = 0
        self._outbox: Outbox | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)

    def pause_writing(self) -> None:
        self._outbox = self._outbox or Outbox(self.owner.outbox_bytes)

    def resume_writing(self) -> None:
        """The transport has room again: write what waits until it is full once more, or nothing waits."""
        outbox, self._outbox = self._outbox, None
        while outbox and self._outbox is None:
            self._transport.write(outbox.take())
        if outbox:
            self._outbox = outbox

    def flush(self, entities: Mapping[int, Entity]) -> None:
        frames, self.frames = self.frames, NONE_WAIT
        if frames:
            self.send(frames[0] if len(frames) == 1 else b"".join(frames), frames, entities)

    def send(self, joined: bytes, frames: Frames, entities: Mapping[int, Entity]) -> None:
        try:
            if self._outbox is None:
                self._transport.write(joined)
            else:
                self._queue(self._outbox, frames, entities)
            self.sent += len(frames)
        except Exception:  # noqa: BLE001 - whatever it is, it must not reach the others
            # One connection's trouble is its own: the others of this fan-out get theirs.
            self.owner.send_failed(self, len(frames))

    def write(self, frame: bytes) -> None:
        """A reply or push, after the updates that wait."""
        # A cursor in the reply counts the updates of this tick as sent.
        self.owner.hub.fan_out.spill()
        frames, self.frames = self.frames, NONE_WAIT
        self.sent += len(frames)
        if self._outbox is None:
            self._transport.write(b"".join((*frames, frame)) if frames else frame)
        else:
            self._queue(self._outbox, (*frames, frame), {})

    def drop(self) -> None:
        """Nothing of what waits is to be sent any more."""
        self._outbox = None
        self.frames = NONE_WAIT

    def abort(self) -> None:
        """End the transport without a word."""
        self._transport.abort()

    @abstractmethod
    def overflowed(self) -> None:
        """More waits than may."""

    def _queue(self, outbox: Outbox, frames: Iterable[bytes], entities: Mapping[int, Entity]) -> None:
        if self.catching_up:
            outbox.allow(self.owner.replay_bytes)
        if not outbox.extend(frames, entities):
            self.overflowed()
