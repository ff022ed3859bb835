"""Redis is spoken to in text, with a limit on every call, and errors are of one kind."""

import asyncio
import sys
from typing import Any

import pytest
import uvloop

from common.redis import RedisConnectionError, RedisError, RedisTimeoutError, connect_redis, load_script
from common.settings import CommonSettings


@pytest.fixture
def settings(isolation):
    address = isolation.servers.redis
    return CommonSettings(
        redis_host=address.host,
        redis_port=address.port,
        redis_password=isolation.servers.redis_password,
        redis_db=isolation.redis_db,
    )


async def test_text_goes_in_and_comes_out(settings):
    async with connect_redis(settings) as redis:
        await redis.hset("probe", mapping={"name": "東", "number": 7})
        assert await redis.hgetall("probe") == {"name": "東", "number": "7"}


async def test_a_connection_that_was_cut_is_made_anew(settings):
    async with connect_redis(settings) as redis, connect_redis(settings) as operator:
        await redis.set("kept", "1")
        await operator.client_kill_filter(_id=str(await redis.client_id()))
        assert await redis.get("kept") == "1"


async def test_a_script_of_a_package_runs(settings, tmp_path, monkeypatch):
    package = tmp_path / "scripted"
    (package / "lua").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "lua" / "double.lua").write_text("return ARGV[1] * 2")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    async with connect_redis(settings) as redis:
        double = load_script(redis, "scripted", "double")
        assert await double(args=[21]) == 42
        await redis.script_flush()
        assert await double(args=[4]) == 8


async def test_a_call_that_is_cancelled_ends_at_whatever_step_of_the_loop(settings):
    async with connect_redis(settings) as redis:
        await redis.set("kept", "1")
        steps = 0
        while True:
            call = asyncio.ensure_future(redis.get("kept"))
            for _ in range(steps):
                await asyncio.sleep(0)
            if call.done():
                break
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            # Not the answer that nobody waited for.
            assert await redis.echo("next") == "next"
            steps += 1
        assert steps >= 4  # of which the first ones are those of sending


async def test_a_server_that_is_away_is_a_connection_error():
    async with connect_redis(CommonSettings(redis_host="127.0.0.1", redis_port=1)) as redis:
        with pytest.raises(RedisConnectionError) as away:
            await redis.ping()
    assert isinstance(away.value, RedisError)


async def test_a_server_that_does_not_answer_is_a_timeout_within_seconds():
    released = asyncio.Event()

    async def say_nothing(_reader, writer):
        await released.wait()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(10),
        silent,
        connect_redis(CommonSettings(redis_host="127.0.0.1", redis_port=port)) as redis,
    ):
        with pytest.raises(RedisTimeoutError):
            await redis.ping()
        released.set()


def test_a_connection_whose_transport_is_closed_is_lost_to_who_sends(settings):
    async def send_when_closed() -> None:
        async with connect_redis(settings) as redis:
            connection: Any = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            connection._writer.transport.abort()
            # The transport has closed, and who reads from it is to hear so in the next turn.
            await asyncio.sleep(0)
            with pytest.raises(RedisConnectionError, match="the handler is closed"):
                await connection.send_command("PING")
            await redis.connection_pool.release(connection)
            assert await redis.ping()

    uvloop.run(send_when_closed())
