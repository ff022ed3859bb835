"""Sources: the names of source partitions on both sides, Kafka's (topic, partition) and ours (channel, partition)."""

from __future__ import annotations

from common.channels import SYSTEM
from common.kafka import TopicPartition
from common.topics import Topics

Source = tuple[str, int]
"""Channel (or `system`) and partition."""


class Sources:
    def __init__(self, topics: Topics) -> None:
        self._names = {name: _channel(topics, name) for name in topics.sources()}
        self._topics = {channel: name for name, channel in self._names.items()}

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._names)

    def source(self, partition: TopicPartition) -> Source:
        return self._names[partition.topic], partition.partition

    def partition(self, source: Source) -> TopicPartition:
        return TopicPartition(self._topics[source[0]], source[1])

    def channel(self, topic: str) -> str:
        return self._names[topic]

    def topic(self, channel: str) -> str:
        return self._topics[channel]


def _channel(topics: Topics, name: str) -> str:
    channel = topics.channel_of(name)
    return channel.value if channel is not None else SYSTEM
