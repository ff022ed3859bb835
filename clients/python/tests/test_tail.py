"""`defistream tail` as a process, against a real WebSocket server."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clients.python.tests.client_talk import publish_when_subscribed
from clients.python.tests.protocol_server import KEY, LIMIT, ProtocolServer

# A process starts in about 0.3 s, several times that on a busy machine.
PATIENCE = 6 * LIMIT


@asynccontextmanager
async def tail(server: ProtocolServer, *arguments: str, key: str = KEY, stdout: int = PIPE) -> AsyncIterator[Process]:
    environment = os.environ | {"DEFISTREAM_URL": server.url, "DEFISTREAM_API_KEY": key}
    command = (sys.executable, "-m", "defistream", "tail", *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=stdout, stderr=PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(server: ProtocolServer, *arguments: str, key: str = KEY) -> tuple[int | None, list[str], str]:
    async with tail(server, *arguments, key=key) as process:
        out, err = await process.communicate()
    return process.returncode, out.decode().splitlines(), err.decode()


async def test_updates_are_printed_one_a_line_until_the_count(server):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--token", "bitcoin", "--count", "2"))
        for value in (1, 2):
            await publish_when_subscribed(server, tokenId="bitcoin", value=value, timestamp=0)
    status, lines, err = running.result()
    assert status == 0, err
    assert [line.split() for line in lines] == [
        ["1970-01-01", "00:00:00", "prices", "bitcoin", str(value)] for value in (1, 2)
    ]
    assert "connected as ann" in err
    assert 'subscribed to prices:0000000000000001 {"tokenIds": ["bitcoin"]}' in err


async def test_json_lines_are_the_updates_as_sent(server):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--json", "--count", "1"))
        await server.until_subscribed()
        sent = await server.publish(tokenId="bitcoin", data={"name": "₿"})
    assert [json.loads(line) for line in running.result()[1]] == [sent]


async def test_several_channels_are_one_output(server):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--channel", "prices", "--channel", "tvl", "--count", "2"))
        await server.until_subscribed(2)
        await server.publish(tokenId="t")
        await server.publish(channel="tvl", type="tvl_update", protocolId="p")
    assert sorted(line.split()[1:3] for line in running.result()[1]) == [["prices", "t"], ["tvl", "p"]]


async def test_a_refused_key_exits_with_1_and_a_reason(server):
    status, lines, err = await run(server, key="wrong")
    assert (status, lines) == (1, [])
    assert err == "defistream: refused: authentication failed: the API key is not valid (invalid_api_key)\n"


async def test_a_refused_subscription_exits_with_1_and_a_reason(server):
    server.refusals.append({"code": "permission_denied", "message": "not yours", "field": "channel"})
    status, _, err = await run(server)
    assert status == 1
    assert err.endswith("defistream: refused: not yours (permission_denied, channel)\n")


async def test_wrong_usage_exits_with_2(server):
    status, _, err = await run(server, "--channel", "weather")
    assert status == 2
    assert "unknown channel" in err


async def test_no_reconnect_ends_with_the_connection(server):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--no-reconnect"))
        await server.until_subscribed()
        await server.close(4001, "lifetime reached")
    status, _, err = running.result()
    assert status == 1
    assert err.endswith("defistream: connection closed: 4001 lifetime reached\n")


async def test_it_says_that_it_reconnects_and_goes_on(server):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--count", "1"))
        await server.until_subscribed()
        await server.close(4000, "draining")
        await server.until(lambda: server.accepted == 2)
        await publish_when_subscribed(server)
    status, lines, err = running.result()
    assert (status, len(lines)) == (0, 1)
    assert "s (4000 draining)" in err


async def test_with_a_resume_file_it_goes_on_where_it_stopped(server, tmp_path):
    file = str(tmp_path / "cursors")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--count", "1", "--resume-file", file))
        await publish_when_subscribed(server)
    assert running.result()[0] == 0
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--count", "1", "--resume-file", file))
        await publish_when_subscribed(server)
        asked = server.commands("subscribe")[0]
    assert running.result()[0] == 0
    assert asked["since"] == "k3f9.0:101,1:200"


async def test_a_file_that_is_no_resume_file_is_refused_and_kept(server, tmp_path):
    file = tmp_path / "notes"
    file.write_text("mine")
    status, _, err = await run(server, "--resume-file", str(file))
    assert status == 1
    assert f"cannot go on from {file}" in err
    assert file.read_text() == "mine"


async def test_a_snapshot_is_printed_first(server):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, "--snapshot", "--count", "2"))
        await server.until_subscribed()
        await server.notify(type="price_update", channel="prices", id="0:7", tokenId="a")
        await server.end_past("snapshot_end", count=1)
        await server.publish(tokenId="b")
    _, lines, err = running.result()
    assert [line.split()[2] for line in lines] == ["a", "b"]
    assert "1 last values of prices:" in err


async def test_interrupted_it_ends_with_130_without_a_traceback(server):
    async with tail(server) as process:
        await server.until_subscribed()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    await server.until(lambda: server.peers == [])


async def test_a_reader_that_leaves_ends_it_cleanly(server):
    readable, writable = os.pipe()
    async with tail(server, stdout=writable) as process:
        os.close(writable)
        await server.until_subscribed()
        os.close(readable)
        await server.publish()
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Error" not in err
    assert b"Traceback" not in err
