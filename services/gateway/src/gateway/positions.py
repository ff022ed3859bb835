"""How far each source partition has come at this gateway (docs/adr/0008). Pure.

*Position*: the highest offset delivered; what is at or below it is a repeat. *Progress*: how far the present owner has come, which is
behind the position while a new owner repeats. Heartbeats tell the progress, never less than they told before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.cursor import cursor_text


@dataclass(slots=True)
class Source:
    """One partition of a channel. -1 is "nothing yet"."""

    position: int = -1
    progress: int = -1
    """How far the present owner has come."""
    told: int = -1
    """Highest progress that heartbeats may tell."""
    generation: int = -1
    recovering: int = 0
    """Rooms that are being asked for again; while there are any, `told` stays."""

    def anew(self) -> Source:
        """The same partition of a new topic: its owners, and the rooms that wait for them, are still the same."""
        return Source(generation=self.generation, recovering=self.recovering)


@dataclass(slots=True)
class Stream:
    epoch: str = ""
    sources: dict[int, Source] = field(default_factory=dict)
    text: str | None = None
    """The cursor as text, until something moves."""


class Positions:
    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}

    def source(self, channel: str, partition: int) -> Source:
        stream = self._streams.get(channel)
        if stream is None:
            stream = self._streams[channel] = Stream()
        source = stream.sources.get(partition)
        if source is None:
            source = stream.sources[partition] = Source()
        return source

    def accept(self, channel: str, partition: int, generation: int, epoch: str) -> Source | None:
        """The source of a segment, `None` when a newer owner has been heard: the sender has lost the partition.

        A new stream epoch means a new topic whose offsets start again: what was known of the old one is forgotten. Only a new owner can
        have it: one that was there before, and speaks of another topic than the one heard of last, has not noticed yet.
        """
        source = self.source(channel, partition)
        if generation < source.generation:
            return None
        stream = self._streams[channel]
        if epoch != stream.epoch:
            if stream.epoch and generation == source.generation:
                return None
            if stream.epoch:
                stream.sources = {number: each.anew() for number, each in stream.sources.items()}
                source = stream.sources[partition]
            stream.epoch, stream.text = epoch, None
        source.generation = generation
        return source

    def advance(self, channel: str, source: Source, offset: int) -> bool:
        """The owner has routed up to `offset`. False when that is a repeat."""
        new = offset > source.position
        source.progress = offset
        if new:
            source.position = offset
        if not source.recovering and offset > source.told:
            source.told = offset
            self._streams[channel].text = None
        return new

    def recover(self, channel: str, partition: int, change: int) -> None:
        """One room more (1) or less (-1) is being asked for again on this partition."""
        source = self.source(channel, partition)
        source.recovering += change
        if not source.recovering and source.progress > source.told:
            # What was not told meanwhile: nothing may come for long that would have it told.
            source.told = source.progress
            self._streams[channel].text = None

    def position(self, channel: str, partition: int) -> int:
        return self.source(channel, partition).position

    def epoch(self, channel: str) -> str:
        """Epoch of the channel's stream, empty while nothing is known of it."""
        stream = self._streams.get(channel)
        return stream.epoch if stream is not None else ""

    def is_level(self, channel: str) -> bool:
        """Whether the present owners have come as far as any before them: nothing is repeated any more."""
        stream = self._streams.get(channel)
        return stream is not None and all(source.progress >= source.position for source in stream.sources.values())

    def cursor(self, channel: str) -> str:
        stream = self._streams.get(channel)
        if stream is None:
            return cursor_text("", {})
        if stream.text is None:
            stream.text = cursor_text(
                stream.epoch, {partition: source.told for partition, source in stream.sources.items()}
            )
        return stream.text

    def joining_cursor(self, channel: str) -> str:
        """Where a connection stands that joins now: at the positions, for what is repeated below them is not for it."""
        stream = self._streams.get(channel)
        if stream is None:
            return cursor_text("", {})
        return cursor_text(stream.epoch, {partition: source.position for partition, source in stream.sources.items()})

    def later_cursor(self, channel: str, begins: Mapping[int, int]) -> str:
        """The cursor of somebody who has had what heartbeats tell, and what is before `begins` (partition -> offset)."""
        stream = self._streams[channel]
        told = {number: each.told for number, each in stream.sources.items()}
        had = {number: max(offset - 1, told.get(number, -1)) for number, offset in begins.items()}
        return cursor_text(stream.epoch, told | had)

    def channel_of(self, epoch: str) -> str | None:
        """The channel whose stream has this epoch, where it is known here."""
        return next((channel for channel, stream in self._streams.items() if stream.epoch == epoch), None)

    def clear(self) -> None:
        """The slot was lost: another one has its own deliveries, from another place on."""
        self._streams.clear()
