"""Going on from a cursor, and last values first: under the same filters as live updates, at any gateway, without a gap."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.producer import Producer
from tests.support.samples import unique, update
from tests.support.system import System


async def begin(client: Client, channel: str, filters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await client.command("subscribe", channel=channel, filters=filters, **fields)
    assert answer["type"] == "subscribed", answer
    return answer


async def test_what_was_missed_comes_first_at_another_gateway_and_live_updates_go_on(
    connect: Connect, producer: Producer, system: System
):
    protocol = unique("protocol")
    filters = {"protocolIds": [protocol], "minValue": 10}
    before = await connect(gateway=system.gateways[0])
    cursor = (await begin(before, "liquidations", filters))["cursor"]
    await before.close()
    missed = [await producer.publish(update("liquidations", protocolId=protocol, value=value)) for value in range(30)]
    after = await connect(gateway=system.gateways[1])
    assert (await begin(after, "liquidations", filters, since=cursor))["cursor"] == cursor
    end = await after.expect("replay_end")
    live = await producer.publish(update("liquidations", protocolId=protocol, value=99))
    await after.expect_updates(live)
    assert end["count"] == 20
    assert [each for _channel, each in after.update_ids] == [each.id for each in (*missed[10:], live)]


async def test_what_others_of_the_room_were_just_given_no_router_is_asked_for(
    connect: Connect, producer: Producer, system: System
):
    protocol = unique("protocol")
    filters = {"protocolIds": [protocol]}
    cursor = (await begin(await connect(), "liquidations", filters))["cursor"]
    published = [await producer.publish(update("liquidations", protocolId=protocol)) for _ in range(5)]
    first = await connect(gateway=system.gateways[1])
    await begin(first, "liquidations", filters, since=cursor)
    await first.expect("replay_end")
    published.append(await producer.publish(update("liquidations", protocolId=protocol)))
    await first.expect_updates(published[-1])
    passes = sum(router.count("router_replay_passes_total") for router in system.running("router"))
    second = await connect(gateway=system.gateways[1])
    await begin(second, "liquidations", filters, since=cursor)
    end = await second.expect("replay_end")
    published.append(await producer.publish(update("liquidations", protocolId=protocol)))
    await second.expect_updates(published[-1])
    assert end["count"] == 6
    assert [each for _channel, each in second.update_ids] == [each.id for each in published]
    assert sum(router.count("router_replay_passes_total") for router in system.running("router")) == passes


async def test_a_cursor_of_a_heartbeat_leaves_nothing_to_replay(connect: Connect, producer: Producer):
    protocol = unique("protocol")
    client = await connect()
    await begin(client, "alerts", {"protocolIds": [protocol]})
    published = await producer.publish(update("alerts", protocolId=protocol))
    await client.expect_updates(published)
    partition, offset = published.id.split(":")
    name = f"{partition}:{offset}"
    await client.until(
        lambda: any(name in each.get("cursors", {}).get("alerts", "") for each in client.messages),
        "the cursor moves on",
    )
    cursor = next(each for each in reversed(client.messages) if each["type"] == "heartbeat")["cursors"]["alerts"]
    other = await connect()
    await begin(other, "alerts", {"protocolIds": [protocol]}, since=cursor)
    assert (await other.expect("replay_end"))["count"] == 0


async def test_private_updates_are_replayed_to_their_user_alone(connect: Connect, producer: Producer, system: System):
    protocol = unique("protocol")
    filters = {"protocolIds": [protocol]}
    cursor = (await begin(await connect(), "alerts", filters))["cursor"]
    await producer.publish(update("alerts", protocolId=protocol, userId="bob"))
    bob, carol = await connect(system.key("bob")), await connect(system.key("carol"))
    counts = []
    for client in (bob, carol):
        await begin(client, "alerts", filters, since=cursor)
        counts.append((await client.expect("replay_end"))["count"])
    assert counts == [1, 0]


async def test_a_snapshot_has_the_last_value_of_each_entity_that_matches_and_goes_on_live(
    connect: Connect, producer: Producer
):
    chain, protocols = unique("chain"), [unique("protocol") for _ in range(12)]
    for value in (1, 100, 50):
        await asyncio.gather(
            *(
                producer.publish(update("tvl", protocolId=protocol, chains=[chain], value=value + number))
                for number, protocol in enumerate(protocols)
            )
        )
    client = await connect()
    await begin(client, "tvl", {"chains": [chain], "minValue": 55}, snapshot=True)
    end = await client.expect("snapshot_end")
    live = await producer.publish(update("tvl", protocolId=protocols[0], chains=[chain], value=77))
    await client.expect_updates(live)
    got = [(each["protocolId"], each["value"]) for each in client.updates]
    assert end["count"] == 7
    assert sorted(got[:-1]) == sorted((protocol, 50 + n) for n, protocol in enumerate(protocols) if n >= 5)
    assert got[-1] == (protocols[0], 77)


async def test_a_cursor_of_another_channel_is_a_bad_request_that_names_both(connect: Connect):
    client = await connect()
    cursor = (await client.subscribe("alerts"))["cursor"]
    await client.subscribe("emissions")
    error = await client.refused("subscribe", channel="emissions", since=cursor)
    assert (error["code"], error["field"]) == ("bad_request", "since")
    assert "alerts" in error["message"]


async def test_with_both_the_snapshot_comes_where_the_cursor_has_expired_and_says_so(
    connect: Connect, producer: Producer
):
    token = unique("token")
    await producer.publish(update("prices", tokenId=token, value=5))
    client = await connect()
    await begin(client, "prices", {"tokenIds": [token]}, since="zzzzzz.0:1", snapshot=True)
    end = await client.expect("snapshot_end")
    assert (end["count"], end["expired"]) == (1, True)


async def test_a_cursor_from_the_future_is_a_bad_request_and_leaves_no_subscription(connect: Connect):
    client = await connect()
    epoch = (await client.subscribe("governance"))["cursor"].partition(".")[0]
    await client.unsubscribe(channel="governance")
    await client.send({"type": "subscribe", "id": "ahead", "channel": "governance", "since": f"{epoch}.0:999999999"})
    error = await client.expect("error", id="ahead")
    assert (error["code"], error["field"]) == ("bad_request", "since")
    assert await client.subscriptions() == []
