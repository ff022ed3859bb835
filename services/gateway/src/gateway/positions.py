"""How far each source partition has come at this gateway (docs/adr/0008). Pure.

*Position*: the highest offset delivered; what is at or below it is a repeat. *Progress*: how far the present owner has come, which is
behind the position while a new owner repeats. Heartbeats tell the progress, never less than they told before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from common.cursor import cursor_text


@dataclass(slots=True)
class Source:
    """One partition of a channel. -1 is "nothing yet"."""

    position: int = -1
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

        A new stream epoch means a new topic whose offsets start again: what was known of the old one is forgotten.
        """
        source = self.source(channel, partition)
        if generation < source.generation:
            return None
        stream = self._streams[channel]
        if epoch != stream.epoch:
            if stream.epoch and generation > source.generation:
                stream.sources = {number: each.anew() for number, each in stream.sources.items()}
                source = stream.sources[partition]
            stream.epoch, stream.text = epoch, None
        source.generation = generation
        return source

    def advance(self, channel: str, source: Source, offset: int) -> bool:
        """The owner has routed up to `offset`. False when that is a repeat."""
        new = offset > source.position
        if new:
            source.position = offset
        if not source.recovering and offset > source.told:
            source.told = offset
            self._streams[channel].text = None
        return new

    def recover(self, channel: str, partition: int, change: int) -> None:
        """One room more (1) or less (-1) is being asked for again on this partition."""
        self.source(channel, partition).recovering += change

    def cursor(self, channel: str) -> str:
        stream = self._streams.get(channel)
        if stream is None:
            return cursor_text("", {})
        if stream.text is None:
            stream.text = cursor_text(
                stream.epoch, {partition: source.told for partition, source in stream.sources.items()}
            )
        return stream.text

    def clear(self) -> None:
        """The slot was lost: another one has its own deliveries, from another place on."""
        self._streams.clear()
