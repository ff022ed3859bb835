"""Bad input from producers: dead-lettered with the reason, counted, and the next update of that partition is delivered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from common.kafka import partitions_of
from tests.support.connect import Connect
from tests.support.producer import Producer, Published
from tests.support.samples import unique, update
from tests.support.system import System

CHANNEL = "prices"

# value of the record -> words of the reason
BAD = {
    "no_json": (b"price is 5", "JSON"),
    "cut_off": (b'{"type":"price_update","tokenId":"x"', "JSON"),
    "not_utf8": (b'{"type":"price_update","tokenId":"\xff"}', "UTF-8"),
    "array": (b'[{"type":"price_update"}]', "object"),
    "no_type": (b'{"tokenId":"x","value":1}', "type"),
    "unknown_type": (b'{"type":"weather_update","value":1}', "unknown type"),
    "type_of_another_channel": (b'{"type":"tvl_update","value":1}', "tvl"),
    "wrong_channel": (b'{"type":"price_update","channel":"tvl"}', "channel"),
    "infinite_value": (b'{"type":"price_update","value":1e999}', "value"),
    "nan_value": (b'{"type":"price_update","value":NaN}', "JSON"),
    "infinity_value": (b'{"type":"price_update","value":Infinity}', "JSON"),
    "text_value": (b'{"type":"price_update","value":"67012"}', "value"),
    "boolean_value": (b'{"type":"price_update","value":true}', "value"),
    "numeric_token": (b'{"type":"price_update","tokenId":5}', "tokenId"),
    "numeric_chain": (b'{"type":"price_update","chains":["base",5]}', "chains"),
    "empty_user": (b'{"type":"price_update","userId":" "}', "userId"),
    "text_timestamp": (b'{"type":"price_update","timestamp":"yesterday"}', "timestamp"),
    "deep_nesting": (b'{"type":"price_update","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested"),
    "300_kib": (b'{"type":"price_update","data":"' + b"x" * 300 * 1024 + b'"}', "bytes"),
    "empty": (b"", "JSON"),
}


@pytest.fixture
async def dead_letters(system: System) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads the dead letters that come from now on."""
    topic = f"{system.environment['TOPIC_PREFIX']}updates.dead-letter"
    async with AIOKafkaConsumer(
        bootstrap_servers=system.environment["KAFKA_BOOTSTRAP_SERVERS"], fetch_max_wait_ms=50
    ) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in await partitions_of(consumer, topic)])
        await consumer.seek_to_end()
        for part in consumer.assignment():
            await consumer.position(part)
        yield consumer


@pytest.mark.parametrize("name", BAD)
async def test_bad_update_is_set_aside_with_its_reason_and_the_next_is_delivered(
    name: str, connect: Connect, producer: Producer, dead_letters: AIOKafkaConsumer, system: System
):
    value, reason = BAD[name]
    client, token = await connect(), unique("token")
    await client.subscribe(CHANNEL, {"tokenIds": [token]})
    (router,) = system.running("router")
    before = router.count("router_dead_letters_total")
    bad = await producer.write(CHANNEL, value, key="bad", partition=1)
    following = await producer.publish(update(CHANNEL, tokenId=token), partition=1)
    letter = await _letter_of(dead_letters, bad)
    headers = {key: text.decode() for key, text in letter.headers}
    assert reason in headers["reason"]
    assert headers["topic"].endswith(f"updates.{CHANNEL}")
    assert (headers["partition"], headers["offset"]) == (str(bad.partition), str(bad.offset))
    assert (letter.key, letter.value) == (b"bad", value)
    await client.expect_updates(following)
    assert [each["id"] for each in client.updates] == [following.id]
    assert router.count("router_dead_letters_total") == before + 1


async def test_update_of_256_kib_is_delivered(connect: Connect, producer: Producer):
    client, token = await connect(), unique("token")
    await client.subscribe(CHANNEL, {"tokenIds": [token]})
    big = update(CHANNEL, tokenId=token, data="")
    big["data"] = "x" * (256 * 1024 - len(json.dumps(big)))
    published = await producer.publish(big)
    assert (await client.expect_update(published))["data"] == big["data"]


async def test_null_value_of_a_state_channel_is_no_error_and_reaches_nobody(
    connect: Connect, producer: Producer, system: System
):
    client, token = await connect(), unique("token")
    await client.subscribe(CHANNEL)
    (router,) = system.running("router")
    before = router.count("router_dead_letters_total")
    removed = await producer.write(CHANNEL, None, key=token, partition=1)
    following = await producer.publish(update(CHANNEL, tokenId=token), partition=1)
    await client.expect_updates(following)
    assert removed.id not in [each["id"] for each in client.updates]
    assert router.count("router_dead_letters_total") == before


async def test_bad_operator_message_is_set_aside_too(producer: Producer, dead_letters: AIOKafkaConsumer):
    bad = await producer.write("system", b'{"type":"broadcast","channel":"weather"}', key="bad")
    headers = {key: text.decode() for key, text in (await _letter_of(dead_letters, bad)).headers}
    assert headers["topic"].endswith("updates.system")
    assert "channel" in headers["reason"]


async def _letter_of(consumer: AIOKafkaConsumer, bad: Published) -> ConsumerRecord[bytes | None, bytes | None]:
    """The dead letter of a record."""
    wanted = {("partition", str(bad.partition).encode()), ("offset", str(bad.offset).encode())}
    async with asyncio.timeout(10):
        while True:
            batches = await consumer.getmany(timeout_ms=200)
            for record in (record for batch in batches.values() for record in batch):
                if wanted <= set(record.headers) and dict(record.headers)["topic"].endswith(bad.channel.encode()):
                    return record
