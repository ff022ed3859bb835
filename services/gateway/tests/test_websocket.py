"""One socket over TCP: what RFC 6455 asks of it, and what the session decides, carried out."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace

import pytest

from gateway.protocol.frames import text_frame
from gateway.protocol.session import State
from gateway.websocket import WebSocket
from services.gateway.tests.roles import room, tokens
from services.gateway.tests.running import KEY, Running, running
from services.gateway.tests.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Seen, Wire

BTC, ETH = tokens("btc"), tokens("eth")


def update(number: int, *, size: int = 0) -> bytes:
    """The JSON of an update of prices, as a router makes it."""
    body = {"type": "price_update", "channel": "prices", "id": f"0:{number}", "pad": "x" * size}
    return json.dumps(body).encode()


async def opened(gateway: Running, key: str | None = KEY) -> Wire:
    """A socket whose key was accepted; the answers up to then are read."""
    wire = await Wire.open(f"{gateway.url}?apiKey={key}" if key else gateway.url)
    await wire.told("authenticated" if key else "welcome")
    return wire


def ended(seen: list[Seen]) -> tuple[list[str], int]:
    """The codes of the messages before the close, and its code."""
    return [each.json.get("code", each.json["type"]) for each in seen[:-1] if each.opcode == TEXT], seen[-1].code


# Frames --------------------------------------------------------------------------------------------------------------


async def test_a_binary_frame_is_an_error_and_1003(gateway):
    wire = await opened(gateway)
    await wire.send_frame(BINARY, b"\x00")
    assert ended(await wire.end()) == (["bad_request"], 1003)


@pytest.mark.parametrize("text", [b"\xff", b'{"type":"ping"\xc3', b"\xed\xa0\x80"])
async def test_a_text_that_is_not_utf_8_is_an_error_and_1007(gateway, text):
    wire = await opened(gateway)
    await wire.send_frame(TEXT, text)
    assert ended(await wire.end()) == (["bad_request"], 1007)


def padded(size: int) -> bytes:
    """A ping of so many bytes."""
    return b'{"type":"ping","pad":"%b"}' % (b"x" * (size - 24))


async def test_a_message_of_the_greatest_size_passes_and_one_byte_more_is_an_error_and_1009(gateway):
    wire = await opened(gateway)
    await wire.send_frame(TEXT, padded(32 * 1024))
    await wire.told("pong")
    await wire.send_frame(TEXT, padded(32 * 1024 + 1))
    seen = await wire.end()
    assert ended(seen) == (["bad_request"], 1009)
    assert "32768 bytes" in seen[0].json["message"]


async def test_fragments_count_together_against_the_greatest_size(gateway):
    wire = await opened(gateway)
    await wire.send_frame(TEXT, b"x" * 20_000, final=False)
    await wire.send_frame(CONT, b"x" * 20_000)
    assert ended(await wire.end()) == (["bad_request"], 1009)


async def test_who_is_still_sending_when_refused_reads_why(gateway):
    """Closing with unread input would reset the connection, and take from the client what it was told."""
    wire = await opened(gateway)
    payload = padded(60_000)
    frame = bytes([0x80 | TEXT, 0x80 | 126]) + len(payload).to_bytes(2, "big") + bytes(4) + payload
    await wire.send(frame * 50)
    assert ended(await wire.end()) == (["bad_request"], 1009)


async def test_a_key_with_a_limit_of_its_own_may_send_longer_messages(gateway):
    gateway.decisions[KEY] = replace(gateway.decisions[KEY], limits={"messageBytes": 60_000})
    wire = await opened(gateway)
    await wire.send_frame(TEXT, padded(60_000))
    await wire.told("pong")
    wire.close()


async def test_a_message_may_come_in_fragments_with_control_frames_between(gateway):
    wire = await opened(gateway)
    message = '{"type":"ping","id":"東京"}'.encode()
    for opcode, part in ((TEXT, message[:5]), (CONT, b""), (CONT, message[5:22])):
        await wire.send_frame(opcode, part, final=False)
        await wire.send_frame(PING, b"?")
        assert await wire.frame() == Seen(PONG, b"?")
    await wire.send_frame(CONT, message[22:])
    assert (await wire.told("pong"))["id"] == "東京"
    wire.close()


async def test_empty_fragments_are_not_kept(gateway):
    wire = await opened(gateway)
    await wire.send_frame(TEXT, b"", final=False)
    for _ in range(5):
        await wire.send(bytes([CONT, 0x80, 0, 0, 0, 0]) * 1000)
    await wire.send_frame(CONT, b'{"type":"ping"}', final=False)
    await wire.send_frame(PING, b"?")
    assert await wire.frame() == Seen(PONG, b"?")
    (connection,) = gateway.connections
    assert connection._incoming is not None
    assert len(connection._incoming._fragments or ()) == 1
    await wire.send_frame(CONT, b"")
    await wire.told("pong")
    wire.close()


async def test_frames_that_come_in_pieces_or_together_are_read(gateway):
    wire = await opened(gateway)
    payload = b'{"type":"ping","id":7}'
    frame = bytes([0x80 | TEXT, 0x80 | len(payload)]) + bytes(4) + payload
    for byte in frame:
        await wire.send(bytes([byte]))
    assert (await wire.told("pong"))["id"] == 7
    await wire.send(frame * 3)
    assert [(await wire.told("pong"))["id"] for _ in range(3)] == [7, 7, 7]
    wire.close()


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(bytes([0x80 | TEXT, 2]) + b"{}", id="not masked"),
        pytest.param(bytes([0xC0 | TEXT, 0x80, 0, 0, 0, 0]), id="a reserved bit"),
        pytest.param(bytes([0x80 | 0x3, 0x80, 0, 0, 0, 0]), id="an unknown opcode"),
        pytest.param(bytes([PING, 0x80, 0, 0, 0, 0]), id="a control frame in fragments"),
        pytest.param(bytes([0x80 | CONT, 0x80, 0, 0, 0, 0]), id="a continuation of nothing"),
    ],
)
async def test_what_the_protocol_forbids_ends_the_connection_and_its_part_in_fan_out(gateway, frame):
    wire = await opened(gateway)
    await wire.subscribe(channel="prices", filters={"tokenIds": ["btc"]})
    await wire.send(frame)
    await gateway.until(lambda: not gateway.wanted(), "the room is given up")
    gateway.publish(BTC, update(0))
    assert ended(await wire.end()) == (["bad_request"], 1002)
    await gateway.until_empty()
    assert gateway.events()[-1]["code"] == 1002


async def test_a_ping_is_answered_with_its_payload(gateway):
    wire = await opened(gateway)
    await wire.send_frame(PING, b"abc")
    assert await wire.frame() == Seen(PONG, b"abc")
    wire.close()


# Opening and closing -------------------------------------------------------------------------------------------------


async def test_another_path_is_404(gateway):
    host, port = gateway.url.removeprefix("ws://").partition("/")[0].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /v3/other HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"/v2/realtime" in answer
    writer.close()
    assert gateway.connections == ()


async def test_a_client_that_closes_is_answered_and_forgotten(gateway):
    client = await gateway.connect()
    await client.subscribe("prices", {"tokenIds": ["btc"]})
    await client.close()
    assert client.close_code == 1000
    await gateway.until_empty()
    await gateway.until(lambda: gateway.events()[-1]["kind"] == "closed", "the registry is told")
    kinds = [(event["kind"], event.get("code")) for event in gateway.events()]
    assert kinds == [("opened", None), ("subscribed", None), ("closed", 1000)]
    assert gateway.wanted() == set()


async def test_a_close_of_ours_waits_for_its_answer(gateway):
    wire = await opened(gateway, key=None)
    await wire.command(type="authenticate", apiKey="wrong")
    seen = await wire.until(lambda each: each.opcode == CLOSE)
    assert ended(seen) == (["invalid_api_key"], 4502)
    assert len(gateway.connections) == 1
    await wire.send_frame(CLOSE, seen[-1].payload[:2])
    assert await wire.read_to_end() == b""
    wire.close()
    await gateway.until_empty()


async def test_a_close_without_a_code_is_answered(gateway):
    wire = await opened(gateway)
    await wire.send_frame(CLOSE, b"")
    assert (await wire.frame()).opcode == CLOSE
    assert await wire.read_to_end() == b""
    wire.close()
    await gateway.until_empty()


async def test_a_connection_that_vanishes_is_forgotten(gateway):
    client = await gateway.connect()
    await client.subscribe("prices", {"tokenIds": ["btc"]})
    client.vanish()
    await gateway.until_empty()
    await gateway.until(lambda: gateway.events()[-1]["kind"] == "closed", "the registry is told")
    assert gateway.events()[-1]["code"] == 1006
    assert gateway.wanted() == set()


async def test_a_connection_that_vanishes_while_its_subscribe_waits_leaves_nothing(gateway):
    gateway.away.add("router")
    client = await gateway.connect()
    await client.send({"type": "subscribe", "channel": "prices", "filters": {"tokenIds": ["btc"]}})
    await gateway.until(lambda: gateway.wanted() == {BTC.id}, "the room is asked for")
    client.vanish()
    await gateway.until_empty()
    await gateway.until(lambda: not gateway.wanted(), "the room is given up")


async def test_a_closing_connection_gets_nothing_more(gateway):
    wire = await opened(gateway)
    await wire.subscribe(channel="prices", filters={"tokenIds": ["btc"]})
    await wire.send_frame(BINARY, b"")
    await gateway.until(lambda: gateway.session().state is State.CLOSING, "the connection is closing")
    gateway.publish(BTC, update(0), update(1))
    gateway.tell_everyone(b"{}")
    assert ended(await wire.end()) == (["bad_request"], 1003)


async def test_a_subscribe_that_is_answered_after_the_close_is_not(gateway):
    gateway.away.add("router")
    wire = await opened(gateway)
    await wire.command(type="subscribe", channel="prices")
    await gateway.until(gateway.wanted, "the room is asked for")
    await wire.send_frame(BINARY, b"")
    await gateway.until(lambda: not gateway.wanted(), "the room is given up")
    assert ended(await wire.end()) == (["bad_request"], 1003)


# Updates -------------------------------------------------------------------------------------------------------------


async def test_updates_reach_their_subscribers_as_they_are(gateway):
    one, other = await gateway.connect(), await gateway.connect()
    await one.subscribe("prices", {"tokenIds": ["btc"]})
    await other.subscribe("prices", {"tokenIds": ["eth"]})
    bodies = [update(number) for number in range(3)]
    gateway.publish(BTC, *bodies)
    gateway.publish(ETH, update(3, size=70_000))
    await one.expect_number_of_updates(3)
    await other.expect_number_of_updates(1)
    assert one.updates == [json.loads(body) for body in bodies]
    assert [each["id"] for each in other.updates] == ["0:3"]


async def test_updates_come_before_the_reply_whose_cursor_counts_them(gateway):
    client = await gateway.connect()
    await client.subscribe("prices", {"tokenIds": ["btc"]})
    gateway.away.add("router")
    await client.send({"type": "subscribe", "channel": "prices", "filters": {"tokenIds": ["eth"]}})
    await gateway.until(lambda: gateway.wanted() == {BTC.id, ETH.id}, "the room is asked for")
    gateway.activate(ETH, 1)
    gateway.publish_with_activation(BTC, update(0), of=ETH)
    told = await client.expect("subscribed")
    order = [message["type"] for message in client.messages[-2:]]
    assert order == ["price_update", "subscribed"]
    assert "0:0" in told["cursor"]


async def test_a_revoked_keys_connections_are_closed(gateway):
    client, other = await gateway.connect(), await gateway.connect()
    key_hash = gateway.connections[0].session.key_hash
    gateway.app.connections.revoke(key_hash)
    assert await client.closed() == await other.closed() == 4503


# Slow readers --------------------------------------------------------------------------------------------------------


async def test_a_slow_reader_is_bounded_and_closed_and_nobody_else_notices():
    limit = 256 * 1024
    async with running(gateway_outbox_bytes=limit) as gateway:
        fast = await gateway.connect()
        await fast.subscribe("prices", {"tokenIds": ["btc"]})
        wire, slow = await opened(gateway), gateway.connections[-1]
        narrow(slow)
        await wire.subscribe(channel="prices", filters={"tokenIds": ["btc"]})
        number = most = 0
        while slow.close_code != 4003:
            gateway.publish(BTC, update(number, size=8000))
            number += 1
            await fast.expect_number_of_updates(number)
            most = max(most, waiting(slow))
            assert number < 10_000
        assert most <= limit + 2 * 64 * 1024
        gateway.publish(BTC, *(update(number + n, size=8000) for n in range(100)))
        await fast.expect_number_of_updates(number + 100)
        assert waiting(slow) <= 2 * 64 * 1024
        seen = await wire.end()
        told, code = ended(seen)
        assert (told[-1], code) == ("slow_consumer", 4003)
        got = [each.json["id"] for each in seen[:-2]]
        assert got == [f"0:{n}" for n in range(len(got))]


async def test_a_reply_behind_more_than_may_wait_is_not_sent_and_ends_the_connection_alone():
    async with running(gateway_outbox_bytes=64 * 1024) as gateway:
        fast = await gateway.connect()
        wire, slow = await opened(gateway), gateway.connections[-1]
        narrow(slow)
        await wire.subscribe(channel="prices", filters={"tokenIds": ["btc"]})
        number = 0
        while slow._outbox is None:
            gateway.publish(BTC, update(number, size=8000))
            number += 1
            await asyncio.sleep(0)
        frames = [text_frame(update(number + n, size=8000)) for n in range(20)]
        slow.owner.hub.fan_out.to_members((slow,), *frames)
        slow.push(b'{"type":"late"}')
        assert slow.close_code == 4003
        told, code = ended(await wire.end())
        assert (told[-1], code) == ("slow_consumer", 4003)
        await fast.subscribe("prices", {"tokenIds": ["btc"]})
        gateway.publish(BTC, update(number, size=10))
        await fast.expect_number_of_updates(1)


def narrow(connection: WebSocket) -> None:
    """So that little fits between us and a reader that does not read."""
    connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def waiting(connection: WebSocket) -> int:
    """Bytes that this process holds for a connection."""
    outbox = connection._outbox
    buffered: int = connection._transport.get_write_buffer_size()
    return buffered + (outbox.size if outbox is not None else 0)


async def test_a_reader_that_pauses_gets_everything_in_order(gateway):
    wire, connection = await opened(gateway), gateway.connections[-1]
    narrow(connection)
    await wire.subscribe(channel="prices", filters={"tokenIds": ["btc"]})
    number = 0
    while connection._outbox is None or len(connection._outbox) < 20:
        gateway.publish(BTC, update(number, size=8000))
        number += 1
        await asyncio.sleep(0)
    await wire.command(type="ping")
    await wire.send_frame(PING, b"last")
    seen = await wire.until(lambda each: each.opcode == PONG)
    assert [each.json["id"] for each in seen[:-2]] == [f"0:{n}" for n in range(number)]
    assert seen[-2].json["type"] == "pong"
    wire.close()


async def test_a_slow_reader_of_a_state_channel_is_spared_superseded_updates_and_goes_on():
    async with running(gateway_outbox_bytes=256 * 1024) as gateway:
        wire, slow = await opened(gateway), gateway.connections[-1]
        narrow(slow)
        await wire.subscribe(channel="prices", filters={"tokenIds": ["btc"]})
        published = 0
        while published < 500:
            gateway.publish(BTC, update(published, size=8000), key=b"btc")
            published += 1
            await asyncio.sleep(0)
        await wire.send_frame(PING, b"last")
        seen = [each.json for each in (await wire.until(lambda each: each.opcode == PONG))[:-1]]
        ids = [int(each["id"].split(":")[1]) for each in seen if "id" in each]
        spared = sum(each["n"] for each in seen if each["type"] == "conflated")
        assert ids == sorted(set(ids))
        assert ids[-1] == published - 1
        assert len(ids) + spared == published
        assert spared > 0
        wire.close()


# Past ----------------------------------------------------------------------------------------------------------------


async def test_a_replay_is_subscribed_then_the_frames_then_replay_end_then_what_is_live(gateway):
    gateway.away.add("router")
    wire = await opened(gateway)
    await wire.command(type="subscribe", id=1, channel="prices", filters={"tokenIds": ["btc"]}, since="k3f9.0:4")
    await gateway.until(lambda: len(gateway.asks(BTC)) == 2, "the replay is asked for")
    plain, past = gateway.asks(BTC)
    for partition, offsets in ((0, (5, 6)), (1, ())):
        gateway.answer(BTC, plain, partition=partition, upto=7)
        gateway.answer(BTC, past, *offsets, partition=partition, upto=7)
    gateway.tell_everyone(b'{"type":"broadcast"}')
    seen = [
        each.json for each in await wire.until(lambda each: each.opcode == TEXT and each.json["type"] == "broadcast")
    ]
    assert [each["type"] for each in seen] == ["subscribed", "price_update", "price_update", "replay_end", "broadcast"]
    assert seen[0]["cursor"] == "k3f9.0:4"
    assert (seen[3]["count"], seen[3]["cursor"]) == (2, "k3f9.0:6,1:6")
    wire.close()


# Drain and a lost slot -----------------------------------------------------------------------------------------------


async def test_who_connects_to_a_gateway_without_a_slot_is_told_to_try_again(gateway):
    client = await gateway.connect()
    for tenant in gateway.app.tenancy.tenants:
        tenant.lost()
    assert await client.closed() == 4004
    late = await gateway.connect(None)
    assert (await late.expect("error"))["retryable"] is True
    assert await late.closed() == 4004


async def test_a_subscriber_of_every_channel_is_in_seven_rooms(gateway):
    client = await gateway.connect()
    await client.send({"type": "subscribe", "channels": ["prices", "tvl", "alerts"]})
    for channel in ("prices", "tvl", "alerts"):
        assert (await client.expect("subscribed"))["room"] == room(channel).id
    assert await client.subscriptions() != []
