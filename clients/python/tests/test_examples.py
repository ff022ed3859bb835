"""The examples run, and the README shows what is in them."""

import asyncio
import os
import re
import sys
import textwrap
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from clients.python.tests.protocol_server import KEY, LIMIT, ProtocolServer

HOME = Path(__file__).parents[1]
EXAMPLES = HOME / "examples"
SUBSCRIPTIONS = {"prices.py": 1, "several.py": 3, "events.py": 1, "latest.py": 1, "resume.py": 1, "snapshot.py": 1}
SAYS = {
    "prices.py": "ethereum 0.05 {'symbol': 'ETH'}",
    "several.py": "TVL from 1 bn aave-v3 2000000000.0 base",
    "events.py": "aave-v3 2000000000.0",
    "resume.py": "0:103 uniswap 5.0",
    "snapshot.py": "0 protocols {}\naave-v3 is now 2000000000.0",
    "latest.py": "1 tokens, 0 updates dropped {'ethereum': 0.05}",
}


async def run(server: ProtocolServer, name: str, saved: Path) -> tuple[int | None, str, str]:
    environment = os.environ | {"DEFISTREAM_URL": server.url, "DEFISTREAM_API_KEY": KEY, "CURSOR_FILE": str(saved)}
    command = (sys.executable, str(EXAMPLES / name), "1")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(6 * LIMIT):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("name", SUBSCRIPTIONS)
async def test_an_example_prints_updates(server, name, tmp_path):
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run(server, name, tmp_path / "cursor"))
        await server.until_subscribed(SUBSCRIPTIONS[name])
        if server.commands("subscribe")[-1].get("snapshot"):
            await server.end_past("snapshot_end")
        await server.publish(tokenId="ethereum", value=0.05, data={"symbol": "ETH"})
        await server.publish(channel="tvl", type="tvl_update", protocolId="aave-v3", value=2e9, chains=["base"])
        await server.publish(channel="liquidations", type="liquidation", protocolId="uniswap", value=5.0)
    status, out, err = running.result()
    assert (status, err) == (0, "")
    assert SAYS[name] in out


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SUBSCRIPTIONS)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", (HOME / "README.md").read_text(), re.DOTALL))
def test_the_readme_shows_what_the_examples_do(block):
    assert any(textwrap.indent(block, "    ") in path.read_text() for path in EXAMPLES.glob("*.py"))
