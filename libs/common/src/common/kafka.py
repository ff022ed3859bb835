"""Kafka at the edge: clients made from the settings, topics made where missing, errors mapped once."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownError, UnsupportedVersionError, for_code
from aiokafka.helpers import create_ssl_context

from common.closed_transports import lose_closed_connections
from common.errors import StartupError
from common.fetch_sessions import FetchSessions
from common.logs import get_logger
from common.settings import CommonSettings
from common.topic_ids import topic_ids
from common.topics import TopicSpec

__all__ = [
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "Commit",
    "Kafka",
    "KafkaError",
    "TopicPartition",
    "at_end",
    "check",
    "look_again",
    "partitions_of",
]

log = get_logger("kafka")
lose_closed_connections()

MAX_RECORD_BYTES = 1_000_000
"""Brokers refuse records over 1 MiB by default (message.max.bytes); ours stay below with their headers."""

REQUEST_TIMEOUT_MS = 10_000
"""A connection on which nothing is answered for so long is given up. aiokafka's 40 s would be added to every outage in which a network
swallows packets; an idempotent producer repeats a request without end, whatever this is."""
GROUP_REQUEST_TIMEOUT_MS = 20_000
"""A member's request to join is answered when the others have joined: they have their session timeout, and the time to hand over."""

_DESCRIBE_ATTEMPTS = 20
_DESCRIBE_PAUSE_SECONDS = 0.1


class Commit(NamedTuple):
    """A committed offset, with the words that were committed with it."""

    offset: int
    metadata: str


class Kafka:
    """Makes producers and consumers for one service; they are not started, except where a method says so."""

    def __init__(self, settings: CommonSettings, *, client: str) -> None:
        self._settings = settings
        self._client = client
        self._idempotent: bool | None = None

    def options(self) -> dict[str, Any]:
        """What every aiokafka client is given."""
        settings = self._settings
        password = settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else None
        return {
            "bootstrap_servers": settings.kafka_bootstrap_servers,
            "client_id": self._client,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "security_protocol": settings.kafka_security_protocol,
            "ssl_context": self._ssl_context(),
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password,
        }

    def consumer(self, *topics: str, fetch_sessions: bool = False, **options: Any) -> AIOKafkaConsumer:
        """A consumer that commits only when told to.

        `fetch_sessions`: for one of many partitions that is not asked for `highwater` (`common.fetch_sessions`).
        """
        wait = round(self._settings.kafka_fetch_max_wait.total_seconds() * 1000)
        defaults = {
            "enable_auto_commit": False,
            "fetch_max_wait_ms": wait,
            "heartbeat_interval_ms": 500,
            "session_timeout_ms": 6000,
            "request_timeout_ms": GROUP_REQUEST_TIMEOUT_MS if "group_id" in options else REQUEST_TIMEOUT_MS,
        }
        consumer = _Consumer(*topics, **{**self.options(), **defaults, **options})
        if fetch_sessions:
            consumer.use_fetch_sessions()
        return consumer

    async def start_producer(self, **options: Any) -> AIOKafkaProducer:
        """A started producer with acks=all; idempotent where the broker can do that. Raises `KafkaError` when it is away."""
        if self._idempotent is None:
            self._idempotent = await self._probe_idempotence()
        return await self._start(enable_idempotence=self._idempotent, **options)

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> frozenset[str]:
        """Make the missing topics and report wrong ones. Returns the names that this call made; the broker knows all by then. Idempotent.

        Raises `KafkaError` when the broker is away, `StartupError` when a topic has too few partitions to work with.
        """
        admin = AIOKafkaAdminClient(**self.options())
        try:
            await admin.start()
            made = await self._create(admin, specs)
            await self._check(admin, specs)
            return made
        finally:
            await admin.close()

    async def committed(
        self, group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Commit | None]:
        """What the group has committed of each, `None` for nothing. Raises `KafkaError` also when the broker cannot say yet.

        A consumer's own `committed()` takes a coordinator that is still loading the group, as after a restart, for one that knows of
        nothing: aiokafka (0.14) does not look at the error code of the whole answer. Such an answer names no partitions.
        """
        admin = AIOKafkaAdminClient(**self.options())
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
        finally:
            await admin.close()
        if not found.keys() >= set(partitions):
            raise KafkaError(f"the committed offsets of group {group} are not to be had yet")
        commits = {each: Commit(int(found[each].offset), found[each].metadata or "") for each in partitions}
        return {each: None if commit.offset < 0 else commit for each, commit in commits.items()}

    async def topic_ids(self, consumer: AIOKafkaConsumer, names: Collection[str]) -> dict[str, bytes]:
        """The id of each topic that is there, another one where it was made anew; none where the broker gives none. Raises `KafkaError`."""
        return await topic_ids(consumer, names)

    async def _create(self, admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> frozenset[str]:
        present = set(await admin.list_topics())
        replication = self._settings.kafka_replication_factor
        missing = [
            NewTopic(spec.name, spec.partitions, replication, topic_configs=dict(spec.config))
            for spec in specs
            if spec.name not in present
        ]
        if not missing:
            return frozenset()
        response = await admin.create_topics(missing)
        made: set[str] = set()
        for topic, code, *_message in response.topic_errors:
            if code == 0:
                made.add(topic)
            elif for_code(code) is not TopicAlreadyExistsError:
                raise for_code(code)(f"creating topic {topic}")
        return frozenset(made)

    async def _check(self, admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
        described = await _partition_counts(admin, [spec.name for spec in specs])
        configs = await _policies(admin, [spec.name for spec in specs])
        for spec in specs:
            found, wanted = described.get(spec.name, 0), spec.partitions
            if found != wanted:
                log.warning("topic_partitions_differ", topic=spec.name, found=found, expected=wanted)
            policy, expected = configs.get(spec.name), spec.config.get("cleanup.policy")
            if policy is not None and expected is not None and policy != expected:
                log.warning("topic_cleanup_policy_differs", topic=spec.name, found=policy, expected=expected)
            if spec.by_slot and 0 < found < wanted:
                raise StartupError(f"SLOTS is {wanted}, but topic {spec.name} has {found} partitions")

    async def _probe_idempotence(self) -> bool:
        """Ask the broker: Tansu lists the request and refuses it (UNKNOWN_SERVER_ERROR)."""
        try:
            producer = await self._start(enable_idempotence=True)
        except (UnknownError, UnsupportedVersionError):
            log.info("producer_not_idempotent", reason="the broker has no idempotent producer")
            return False
        await producer.stop()
        return True

    async def _start(self, **options: Any) -> AIOKafkaProducer:
        batch = {
            "acks": "all",
            "max_batch_size": 256 * 1024,
            "max_request_size": 2 * 1024 * 1024,
            "metadata_max_age_ms": 60_000,
        }
        producer = AIOKafkaProducer(**{**self.options(), **batch, **options})
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _ssl_context(self) -> ssl.SSLContext | None:
        if "SSL" not in self._settings.kafka_security_protocol.removeprefix("SASL_"):
            return None
        context: ssl.SSLContext = create_ssl_context(cafile=self._settings.kafka_ssl_cafile)
        return context


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    def use_fetch_sessions(self) -> None:
        """To be called before it is started."""
        self._client.send = FetchSessions(self._client.send).send

    async def stop(self) -> None:
        """Stop it. `CancelledError` means that the caller was cancelled, and nothing else.

        aiokafka (0.14) forgets a cancellation that comes meanwhile, and the caller would go on. And it lets out that of a fetch of its own
        which waits to be tried again, and the caller would end, as if somebody had cancelled it.
        """
        task = asyncio.current_task()
        try:
            await super().stop()
        except asyncio.CancelledError:
            await self._stop_rest()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    async def _stop_rest(self) -> None:
        fetches = tuple(self._fetcher._pending_tasks) if self._fetcher is not None else ()  # noqa: SLF001 - none is public
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        await self._client.close()


async def check(producer: AIOKafkaProducer) -> None:
    """Raises `KafkaError` when no broker answers."""
    if not await producer.client.force_metadata_update():
        raise KafkaError("no broker answers")


async def look_again(consumer: AIOKafkaConsumer) -> None:
    """Have it learn now, not when its metadata are old, which topics and partitions there are; a member's group is assigned anew by it."""
    await consumer._client.force_metadata_update()  # noqa: SLF001 - aiokafka has no public way to ask


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    """The numbers of a topic's partitions, as the broker has them. Raises `KafkaError` when the topic is not there.

    A consumer's own `partitions_for_topic` knows subscribed topics only: on Apache Kafka it says nothing of one that is to be assigned.
    """
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - aiokafka has no public way to ask
    found = cluster.partitions_for_topic(topic)
    if not found:
        raise KafkaError(f"topic {topic} is not there yet")
    return sorted(found)


async def _partition_counts(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """Partitions of each; asked again for a while about a topic that somebody has just made, of which a broker may hear late."""
    counts: dict[str, int] = {}
    for _ in range(_DESCRIBE_ATTEMPTS):
        counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(list(names))}
        if all(counts.get(name) for name in names):
            break
        await asyncio.sleep(_DESCRIBE_PAUSE_SECONDS)
    return counts


async def at_end(consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]) -> bool:
    """Whether all that the assigned partitions held at their latest fetch was handed out; false before the first fetch.

    The end comes from the answers to fetches, not from `end_offsets()` or `seek_to_end()`: those are too low on Tansu when the
    last batch holds several records (it tells the batch's first offset plus one), by up to that batch.
    """
    for partition in partitions:
        end = consumer.highwater(partition)
        if end is None or await consumer.position(partition) < end:
            return False
    return True


async def _policies(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, str]:
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    policies: dict[str, str] = {}
    for response in responses:
        for _code, _message, _type, name, entries in response.resources:
            policies.update((name, entry[1]) for entry in entries if entry[0] == "cleanup.policy")
    return policies


logging.getLogger("aiokafka").addHandler(logging.NullHandler())
