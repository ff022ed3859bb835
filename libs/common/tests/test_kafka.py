"""Topics are made where missing, once, and a wrong one is reported; clients work with what the broker can do."""

import asyncio
import itertools

import pytest
import uvloop
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.protocol.metadata import MetadataRequest
from structlog.testing import capture_logs

from common.errors import StartupError
from common.kafka import Commit, Kafka, KafkaError, TopicPartition, partitions_of
from common.settings import CommonSettings
from common.topics import Topics, TopicSpec
from tests.support.servers import Servers

_numbers = itertools.count()


@pytest.fixture
def settings(isolation):
    """Settings of a deployment of its own, with few partitions."""
    return CommonSettings(
        kafka_bootstrap_servers=isolation.servers.kafka,
        kafka_fetch_max_wait="20ms",
        topic_prefix=f"{isolation.topic_prefix}{next(_numbers)}.",
        slots=3,
        updates_partitions=2,
        events_partitions=2,
    )


@pytest.fixture
def kafka(settings):
    return Kafka(settings, client="test")


@pytest.fixture
async def admin(settings):
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await client.start()
    yield client
    await client.close()


async def test_missing_topics_are_made_with_their_partitions(kafka, settings, admin):
    specs = settings.topics().specs()
    assert await kafka.ensure_topics(specs) == {spec.name for spec in specs}
    described = await admin.describe_topics([spec.name for spec in specs])
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == {
        spec.name: spec.partitions for spec in specs
    }


async def test_a_second_time_nothing_is_made_and_nothing_is_wrong(kafka, settings):
    specs = settings.topics().specs()
    await kafka.ensure_topics(specs)
    with capture_logs() as lines:
        assert await kafka.ensure_topics(specs) == frozenset()
    assert lines == []


async def test_services_that_start_together_make_each_topic_once(kafka, settings):
    specs = settings.topics().specs()
    made = await asyncio.gather(*(Kafka(settings, client=f"test-{n}").ensure_topics(specs) for n in range(3)))
    assert set().union(*made) == {spec.name for spec in specs}


async def test_a_topic_with_other_partitions_is_reported(kafka, settings, admin):
    name = settings.topics().connections_events
    await admin.create_topics([NewTopic(name, 1, 1)])
    with capture_logs() as lines:
        await kafka.ensure_topics([TopicSpec(name, 2)])
    assert [(line["event"], line["topic"], line["found"], line["expected"]) for line in lines] == [
        ("topic_partitions_differ", name, 1, 2)
    ]


async def test_a_topic_kept_in_another_way_is_reported(kafka, settings, admin):
    name = settings.topics().rooms_interest
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs={"cleanup.policy": "delete"})])
    spec = next(spec for spec in settings.topics().specs() if spec.name == name)
    with capture_logs() as lines:
        await kafka.ensure_topics([spec])
    found = [line for line in lines if line["event"] == "topic_cleanup_policy_differs"]
    assert [(line["topic"], line["found"], line["expected"]) for line in found] == [(name, "delete", "compact")]


async def test_fewer_partitions_than_slots_stop_the_start(kafka, settings, admin):
    name = settings.topics().deliveries
    await admin.create_topics([NewTopic(name, 1, 1)])
    with pytest.raises(StartupError, match=r"SLOTS is 3, but topic .*deliveries has 1 partitions"):
        await kafka.ensure_topics(settings.topics().specs())


async def test_as_few_partitions_as_slots_elsewhere_do_not_stop_the_start(settings, admin):
    wide = settings.model_copy(update={"events_partitions": settings.slots})
    name = wide.topics().connections_events
    await admin.create_topics([NewTopic(name, 1, 1)])
    await Kafka(wide, client="test").ensure_topics(wide.topics().specs())


async def test_a_consumer_commits_only_when_told_to(kafka, settings):
    topic = settings.topics().system
    await kafka.ensure_topics([TopicSpec(topic, 1)])
    producer = await kafka.start_producer()
    await producer.send_and_wait(topic, b"value", key=b"key")
    await producer.stop()
    partition = TopicPartition(topic, 0)
    committed = []
    for commits in (False, True, False):
        async with (
            asyncio.timeout(20),
            kafka.consumer(group_id=f"{topic}-group", auto_offset_reset="earliest") as consumer,
        ):
            consumer.assign([partition])
            committed.append(await consumer.committed(partition))
            if commits:
                assert (await consumer.getone()).value == b"value"
                await consumer.commit()
    assert committed == [None, None, 1]


async def test_a_broker_that_is_away_is_a_kafka_error():
    away = Kafka(CommonSettings(kafka_bootstrap_servers="127.0.0.1:1"), client="test")
    with pytest.raises(KafkaError):
        await away.ensure_topics(Topics().specs())
    with pytest.raises(KafkaError):
        await away.start_producer()


async def test_partitions_of_a_topic_are_known_before_anything_is_assigned(kafka, settings):
    topic = settings.topics().rooms_interest
    async with kafka.consumer() as consumer:
        with pytest.raises(KafkaError, match="is not there yet"):
            await partitions_of(consumer, topic)
        await kafka.ensure_topics([TopicSpec(topic, 2)])
        assert await partitions_of(consumer, topic) == [0, 1]


async def test_a_caller_cancelled_while_its_consumer_stops_goes_no_further(kafka, settings):
    topic = settings.topics().system
    await kafka.ensure_topics([TopicSpec(topic, 1)])
    for steps in range(40):
        consumer = kafka.consumer()
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.getmany(timeout_ms=0)
        stopping = asyncio.create_task(consumer.stop())
        for _ in range(steps):
            await asyncio.sleep(0)
        if stopping.done():
            return
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        await consumer.stop()
    raise AssertionError("it never came to an end")


async def test_a_fetch_that_waits_to_be_tried_again_does_not_cancel_who_stops_its_consumer(kafka, settings):
    topic = settings.topics().system
    await kafka.ensure_topics([TopicSpec(topic, 1)])
    for steps in range(10):
        consumer = kafka.consumer()
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.getmany(timeout_ms=100)
        for connection in tuple(consumer._client._conns.values()):
            connection.close()
        for _ in range(steps):
            await asyncio.sleep(0)
        await consumer.stop()


async def test_commits_of_a_group_are_told_and_none_where_there_are_none(
    settings: CommonSettings, servers: Servers
) -> None:
    kafka = Kafka(settings, client="test")
    topic = f"{settings.topic_prefix}commits"
    await kafka.ensure_topics([TopicSpec(topic, 2)])
    known, unknown = TopicPartition(topic, 0), TopicPartition(topic, 1)
    consumer = kafka.consumer(group_id=f"{settings.topic_prefix}group")
    await consumer.start()
    consumer.assign([known])
    await consumer.commit({known: (0, "words")})
    await consumer.stop()
    assert await kafka.committed(f"{settings.topic_prefix}group", [known, unknown]) == {
        known: Commit(0, "words" if servers.kind != "embedded" else ""),
        unknown: None,
    }


def test_a_connection_whose_transport_is_closed_is_lost_to_who_sends(kafka):
    async def send_when_closed() -> None:
        producer = await kafka.start_producer()
        try:
            assert await producer.client.force_metadata_update()
            connection = next(iter(producer.client._conns.values()))
            connection._writer.transport.abort()
            # The transport has closed, and who reads from it is to hear so in the next turn.
            await asyncio.sleep(0)
            with pytest.raises(KafkaError, match="the handler is closed"):
                await connection.send(MetadataRequest([]))
            async with asyncio.timeout(10):
                assert await producer.client.force_metadata_update()
        finally:
            await producer.stop()

    uvloop.run(send_when_closed())
