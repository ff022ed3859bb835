"""The client against a server that goes away, closes and refuses."""

import pytest
from websockets.exceptions import ConnectionClosedError

from clients.python.tests.client_talk import next_event, take
from clients.python.tests.protocol_server import KEY
from defistream import AuthenticationFailed, Client, ConnectionClosed, ConnectionFailed, connection, events


async def test_a_revoked_key_ends_the_iteration(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        await server.close(4503, "key revoked")
        with pytest.raises(AuthenticationFailed, match="key revoked"):
            await take(prices, 1)
        with pytest.raises(AuthenticationFailed):
            await anext(client.subscribe("tvl"))


async def test_nobody_listening_is_told_after_the_time_limit(server):
    await server.stop()
    with pytest.raises(ConnectionFailed, match=r"gave up after 0\.05 s"):
        async with Client(server.url, KEY, connect_timeout=0.05):
            pass


async def test_nobody_listening_is_told_at_once_without_reconnect(server):
    await server.stop()
    with pytest.raises(ConnectionFailed, match="cannot connect"):
        async with Client(server.url, KEY, reconnect=False):
            pass


async def test_a_server_that_does_not_authenticate_is_left_at_the_time_limit(server):
    server.authenticates = False
    with pytest.raises(ConnectionFailed):
        async with Client(server.url, KEY, connect_timeout=0.05):
            pass


async def test_a_closed_connection_is_opened_and_subscribed_again(server, heard):
    async with Client(server.url, KEY, on_event=heard.put_nowait) as client, client.subscribe("prices") as prices:
        await server.publish()
        await take(prices, 1)
        await server.close(4000, "draining; come back in 1 ms")
        assert (await next_event(heard, events.Reconnecting)).code == 4000
        await server.until_subscribed()
        await server.publish()
        assert await take(prices, 1) == ["0:102"]
    assert server.accepted == 2


async def test_a_connection_that_just_ends_is_opened_again(server, heard):
    async with Client(server.url, KEY, on_event=heard.put_nowait) as client, client.subscribe("prices") as prices:
        server.abort()
        assert (await next_event(heard, events.Reconnecting)).code == 1006
        await server.until(lambda: server.accepted == 2 and any(peer.rooms for peer in server.peers))
        await server.publish()
        await take(prices, 1)


async def test_a_server_that_restarts_is_found_again(server, heard):
    async with Client(server.url, KEY, on_event=heard.put_nowait) as client, client.subscribe("prices") as prices:
        await server.stop()
        await next_event(heard, events.Reconnecting)
        await server.start()
        await server.until_subscribed()
        await server.publish()
        await take(prices, 1)


async def test_a_silent_connection_is_taken_for_dead(server, heard):
    server.heartbeat_interval = 20
    async with Client(server.url, KEY, on_event=heard.put_nowait):
        assert "nothing was heard" in (await next_event(heard, events.Reconnecting)).reason
        await server.until(lambda: server.accepted >= 2)


async def test_a_gap_is_told_when_updates_passed_meanwhile(server, heard):
    async with Client(server.url, KEY, resume=False, on_event=heard.put_nowait) as client, client.subscribe("prices"):
        await server.stop()
        server.offsets[1] += 5
        await server.start()
        gap = await next_event(heard, events.Gap)
    assert (gap.since, gap.cursor) == ("k3f9.0:100,1:200", "k3f9.0:100,1:205")


async def test_a_close_that_forbids_it_is_not_followed_by_another_attempt(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        await server.publish()
        await server.close(4504, "too many connections")
        assert await take(prices, 1) == ["0:101"], "what had arrived is handed out first"
        with pytest.raises(ConnectionClosed, match="too many connections") as caught:
            await take(prices, 1)
    assert caught.value.code == 4504
    assert server.accepted == 1


async def test_without_reconnect_a_close_ends_the_iteration(server):
    async with Client(server.url, KEY, reconnect=False) as client, client.subscribe("prices") as prices:
        await server.close(4001, "lifetime")
        with pytest.raises(ConnectionClosed, match="4001 lifetime"):
            await take(prices, 1)


async def test_with_resume_the_cursor_is_sent_when_coming_back(server):
    async with Client(server.url, KEY, resume=True) as client, client.subscribe("prices") as prices:
        await server.publish()
        await take(prices, 1)
        await server.close(4000, "1")
        await server.until_subscribed()
        assert server.commands("subscribe")[0]["since"] == "k3f9.0:101,1:200"


async def test_a_saved_cursor_is_given_back(server):
    async with Client(server.url, KEY, resume=True) as client, client.subscribe("prices", since="k3f9.0:7") as prices:
        assert server.commands("subscribe")[0]["since"] == "k3f9.0:7"
        await server.notify(type="price_update", channel="prices", id="0:8")
        await server.end_past("replay_end", count=1)
        await server.publish()
        assert await take(prices, 2) == ["0:8", "0:101"]
        assert prices.cursor == "k3f9.0:101,1:200"


async def test_a_connection_lost_before_its_handshake_is_opened_again(server, heard, monkeypatch):
    connect = connection.connect  # type: ignore[attr-defined]  # imported there, and replaced there
    lost: list[bool] = []

    async def lose_once(*given, **named):
        if server.accepted == 1 and not lost:
            lost.append(True)
            raise ConnectionClosedError(None, None)
        return await connect(*given, **named)

    monkeypatch.setattr(connection, "connect", lose_once)
    async with Client(server.url, KEY, on_event=heard.put_nowait) as client, client.subscribe("prices") as prices:
        await server.close(4000, "draining; come back in 1 ms")
        await server.until(lambda: server.accepted == 2 and any(peer.rooms for peer in server.peers))
        await server.publish()
        await take(prices, 1)
    assert lost
