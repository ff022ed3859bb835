"""The harness's side of the clients' process."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.accounts import ClientAccount, Member, Orders, SubscriptionAccount
from tests.faults.audience import Listener

ANSWER_BYTES = 16 * 1024 * 1024
FINISH_SECONDS = 60.0


class CrowdControl:
    """Starts the clients' process, and tells it what to do."""

    def __init__(self, orders: Orders, urls: dict[str, str], work: Path) -> None:
        self._orders = orders
        self._urls = urls
        self._work = work
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        path = self._work / "orders.json"
        path.write_bytes(msgspec.json.encode(self._orders))
        with (self._work / "crowd.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.faults.crowd",
                str(path),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=ANSWER_BYTES,
            )

    async def wait_begun(self, limit: float) -> list[str]:
        """Clients of whose subscriptions some are not in effect after `limit` seconds: none, as it should be."""
        return await self._nobody({"do": "begun"}, limit)

    async def wait_for_marks(self, marks: list[tuple[str, str, dict[str, Any]]], limit: float) -> list[str]:
        """Who still lacks which of them after `limit` seconds: nobody, as it should be."""
        return await self._nobody({"do": "lacking", "marks": marks}, limit)

    def some(self, choice: float, share: float) -> list[str]:
        """Names of a share of the clients."""
        names = [each.account.name for each in self._orders.members]
        return random.Random(choice).sample(names, int(len(names) * share))

    async def pause(self, names: list[str], seconds: float) -> None:
        await self._tell({"do": "pause", "clients": names, "seconds": seconds})

    async def restart(self, names: list[str], choice: float) -> None:
        draw = random.Random(choice)
        urls = {name: draw.choice(list(self._urls.values())) for name in names}
        await self._tell({"do": "restart", "clients": urls})

    async def finish(self) -> list[ClientAccount]:
        """End the clients; what they were handed."""
        path = self._work / "accounts.json"
        async with asyncio.timeout(FINISH_SECONDS):
            await self._tell({"do": "finish", "path": str(path)})
            await self._running.wait()
        return msgspec.json.decode(path.read_bytes(), type=list[ClientAccount])

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    async def _nobody(self, question: dict[str, Any], limit: float) -> list[str]:
        loop = asyncio.get_running_loop()
        until = loop.time() + limit
        while True:
            names: list[str] = await self._tell(question)
            if not names or loop.time() > until:
                return names
            await asyncio.sleep(1.0)

    async def _tell(self, order: dict[str, Any]) -> Any:
        async with self._lock:
            process = self._running
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
            answer = await process.stdout.readline()
            assert answer, f"the clients' process ended with {process.returncode}, see {self._work / 'crowd.log'}"
            return json.loads(answer)


def member(listener: Listener, url: str, key: str) -> Member:
    subscriptions = [
        SubscriptionAccount(wish.channel, dict(wish.filters), listener.alone(wish)) for wish in listener.wishes
    ]
    account = ClientAccount(listener.name, listener.user, listener.front, subscriptions)
    return Member(account, url, key, listener.buffer)
