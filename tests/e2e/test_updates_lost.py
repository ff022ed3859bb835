"""Updates that are deleted before they could be sent: who is subscribed to them is told, and gets what follows."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.kafka import make_anew
from tests.support.samples import unique, update
from tests.support.system import System

PARTITIONS, WITHIN = 4, 60.0


async def publish(system: System, name: str) -> None:
    """One alert of this name to each partition."""
    async with system.producer() as producer:
        for partition in range(PARTITIONS):
            await producer.publish(update("alerts", message=name), partition=partition)


async def all_heard(client: Client, name: str) -> None:
    def heard() -> bool:
        return [each["message"] for each in client.updates].count(name) == PARTITIONS

    await client.until(heard, f"{name} of each partition", within=WITHIN)


async def test_of_a_topic_that_is_made_anew(own_system: System, admin: AIOKafkaAdminClient):
    await own_system.start_all_meanwhile()
    topic = f"{own_system.environment['TOPIC_PREFIX']}updates.alerts"
    async with Connect(own_system) as connect:
        client = await connect()
        subscribed = await client.subscribe("alerts")
        before, after = unique("before"), unique("after")
        await publish(own_system, before)
        await all_heard(client, before)
        await make_anew(admin, topic, PARTITIONS, limit=WITHIN)
        await publish(own_system, after)
        notice = await client.expect("notice", code="updates_lost", within=WITHIN)
        assert (notice["channel"], notice["room"]) == ("alerts", subscribed["room"])
        assert notice["oldest"].partition(".")[0] != subscribed["cursor"].partition(".")[0]
        await all_heard(client, after)
        assert [each["message"] for each in client.updates] == [before] * PARTITIONS + [after] * PARTITIONS


async def test_that_no_router_had_read_when_retention_took_them(own_system: System, admin: AIOKafkaAdminClient):
    if own_system.environment["KAFKA_FETCH_MAX_WAIT"]:
        pytest.skip("the embedded broker deletes no records")
    await own_system.start_all_meanwhile()
    topic = f"{own_system.environment['TOPIC_PREFIX']}updates.alerts"
    async with Connect(own_system) as connect:
        client = await connect()
        subscribed = await client.subscribe("alerts")
        [router] = own_system.running("router")
        assert router.stop() == 0
        await publish(own_system, unique("lost"))
        await admin.delete_records({TopicPartition(topic, number): RecordsToDelete(-1) for number in range(PARTITIONS)})
        await own_system.start_meanwhile("router")
        notice = await client.expect("notice", code="updates_lost", within=WITHIN)
        assert (notice["channel"], notice["room"]) == ("alerts", subscribed["room"])
        after = unique("after")
        await publish(own_system, after)
        await all_heard(client, after)
        assert {each["message"] for each in client.updates} == {after}
