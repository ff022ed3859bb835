"""A gateway that ends tells its clients, closes them over some time, and has none left when it says so."""

import pytest

from common.clock import SystemClock
from gateway.drain import drain, spread
from services.gateway.tests.running import running
from services.gateway.tests.wire import Wire


@pytest.mark.parametrize(
    ("connections", "limit", "seconds"),
    [(0, 10.0, 0.0), (200, 10.0, 0.1), (10_000, 10.0, 5.0), (100_000, 10.0, 7.0), (1000, 0.1, 0.07)],
)
def test_a_full_gateway_takes_most_of_its_time_and_a_small_one_none(connections, limit, seconds):
    assert spread(connections, limit) == pytest.approx(seconds)


async def test_every_client_is_told_and_closed_with_a_delay_to_come_back_after(gateway):
    clients = [await gateway.connect() for _ in range(20)]
    await clients[0].subscribe("prices")
    await drain(gateway.app.connections, SystemClock(), limit=5.0)
    assert gateway.connections == ()
    for client in clients:
        assert await client.closed() == 4000
        assert client.close_reason is not None
        assert client.close_reason.startswith("draining, reconnect after ")
        notice = await client.expect("notice")
        assert (notice["code"], notice["retryAfterMs"] > 0) == ("draining", True)
    assert gateway.wanted() == set()


async def test_who_connects_meanwhile_is_sent_elsewhere(gateway):
    await drain(gateway.app.connections, SystemClock(), limit=1.0)
    late = await gateway.connect(None)
    assert await late.closed() == 4000


async def test_who_does_not_answer_the_close_is_cut_off_in_time():
    async with running() as gateway:
        wire = await Wire.open(gateway.url)
        await wire.told("welcome")
        await drain(gateway.app.connections, SystemClock(), limit=0.3)
        assert gateway.connections == ()
        wire.close()


async def test_without_connections_it_is_done_at_once(gateway):
    await drain(gateway.app.connections, SystemClock(), limit=60.0)
