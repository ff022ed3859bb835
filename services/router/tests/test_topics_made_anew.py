"""What happens to the topics of updates by other hands: whoever misses something by it is told."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from common.channels import Channel
from common.deliveries import Routed, TookOver
from services.router.tests.outside import FakeGateway, Outside
from tests.support.fixtures import Isolation
from tests.support.kafka import make_anew
from tests.support.system import System
from tests.support.waiting import eventually

PARTITIONS = 4


async def publish(outside: Outside, channel: str, count: int) -> list[str]:
    updates = [{"type": KINDS[channel], "protocolId": f"protocol-{number}", "value": number} for number in range(count)]
    return [name for name, _update in await outside.publish_all(channel, updates)]


KINDS = {"alerts": "alert", "emissions": "emission", "governance": "governance"}


async def delivered(gateway: FakeGateway, ids: list[str], stream: str) -> None:
    def all_there(g: FakeGateway) -> bool:
        return set(ids) <= {f"{s.partition}:{item.offset}" for s, item in g.items(Routed) if s.stream == stream}

    await gateway.until(all_there, f"what {stream} has is delivered", limit=60)


async def test_a_topic_made_anew_while_a_router_runs_has_another_epoch_and_is_routed_from_its_start(
    system: System, outside: Outside, admin: AIOKafkaAdminClient
):
    router = system.launch("router")
    router.wait_ready()
    gateway = await outside.gateway(1)
    await gateway.activated("alerts")
    before = await outside.stream("alerts")
    await delivered(gateway, await publish(outside, "alerts", 40), before)
    topic = outside.topics.updates(Channel.ALERTS)
    await make_anew(admin, topic, PARTITIONS, limit=20)
    ids = await publish(outside, "alerts", 40)

    async def renewed() -> bool:
        return await outside.stream("alerts") != before

    await eventually(renewed, "its stream has another epoch", limit=60)
    await delivered(gateway, ids, await outside.stream("alerts"))
    assert router.stop() == 0


async def test_what_was_deleted_before_it_was_routed_is_told(
    system: System, outside: Outside, admin: AIOKafkaAdminClient, isolation: Isolation
):
    if isolation.servers.kind == "embedded":
        pytest.skip("the embedded broker deletes no records")
    router = system.launch("router")
    router.wait_ready()
    gateway = await outside.gateway(2)
    await gateway.activated("emissions")
    stream = await outside.stream("emissions")
    await delivered(gateway, await publish(outside, "emissions", 40), stream)
    assert router.stop() == 0
    await publish(outside, "emissions", 40)
    ends = await outside.ends("emissions")
    topic = outside.topics.updates(Channel.EMISSIONS)
    deleted = {TopicPartition(topic, number): RecordsToDelete(end) for number, end in ends.items() if end > 0}
    await admin.delete_records(deleted)
    router = system.launch("router")
    router.wait_ready()

    def told(g: FakeGateway) -> bool:
        lost = {s.partition: item.offset for s, item in g.items(TookOver) if item.lost and s.channel == "emissions"}
        return lost == {partition.partition: each.before_offset for partition, each in deleted.items()}

    await gateway.until(told, "the loss is told, with where it goes on", limit=30)
    assert router.stop() == 0
