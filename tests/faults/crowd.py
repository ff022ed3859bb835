"""The clients' process: applications on the SDK, which note all that they are handed, and do what they are told on standard input.

    python -m tests.faults.crowd ORDERS

One JSON object a line. Told: `{"do": "pause", "clients": [...], "seconds": 9}`, `restart` (applications end and start again from their
cursors, at the `urls` given), `lacking` (who has not had these marks yet?), `finish` (write accounts to `path`, and end).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from defistream import Client, events
from defistream.cursors import Position
from defistream.errors import ConnectionFailed, DefistreamError, SubscriptionRefused, SubscriptionTimeout
from defistream.subscription import Subscription
from tests.faults.accounts import ClientAccount, Conflated, Member, Orders, SubscriptionAccount
from tests.support.matcher import Wish, reaches

ARGUMENTS = {
    "tokenIds": "token_ids",
    "protocolIds": "protocol_ids",
    "chains": "chains",
    "userId": "user_id",
    "minValue": "min_value",
    "maxValue": "max_value",
}
START_SPREAD = 5.0
"""Seconds over which the clients' starts are spread."""


class Application:
    """One client with its subscriptions; restarted, it goes on from its cursors."""

    def __init__(self, member: Member, *, resume: bool) -> None:
        self.account: ClientAccount = member.account
        self.url = member.url
        self._member = member
        self._resume = resume
        self._task: asyncio.Task[None] | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._begun = 0
        self._cursors: dict[str, str | None] = {}

    @property
    def has_begun(self) -> bool:
        return self._begun == len(self.account.subscriptions)

    def start(self, *, after: float = 0.0) -> None:
        self._task = asyncio.create_task(self._run(after))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def restart(self, url: str) -> None:
        await self.stop()
        self._note(f"application restarts at {url}")
        self.url = url
        self._begun = 0
        for each in self.account.subscriptions:
            each.starts.append([])
        self.start()

    async def pause(self, seconds: float) -> None:
        """The application takes nothing for a while."""
        self._note("application pauses")
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()
        self._note("application goes on")

    def lacking(self, marks: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
        """Which of the marks that it must get it has not got."""
        missing = []
        for each in self.account.subscriptions:
            had = {f"{partition}:{offset}" for start in each.starts for partition, offset, _n, _t in start[-2000:]}
            wish = Wish(each.channel, each.filters)
            missing += [
                f"{self.account.name} {channel} {update_id} {each.filters}"
                for channel, update_id, update in marks
                if reaches(update, [wish], self.account.user) and update_id not in had
            ]
        return missing

    async def _run(self, after: float) -> None:
        await asyncio.sleep(after)
        client = Client(
            self.url,
            self._member.key,
            resume=self._resume,
            buffer=self._member.buffer,
            on_event=self._on_event,
            connect_timeout=600.0,
        )
        try:
            async with client, asyncio.TaskGroup() as group:
                for each in self.account.subscriptions:
                    group.create_task(self._consume(client, each))
        except* Exception as errors:  # noqa: BLE001 - a defect of the client is what this looks for
            self._note("ended: " + "".join(traceback.format_exception(errors)))
            for each in self.account.subscriptions:
                each.error = each.error or repr(errors.exceptions)

    async def _consume(self, client: Client, account: SubscriptionAccount) -> None:
        subscription = await self._begin(client, account)
        try:
            if account.start is None:
                account.start = await self._confirmed_cursor(subscription)
            self._begun += 1
            async for update in subscription:
                partition, offset = map(int, update.id.split(":"))
                account.starts[-1].append((partition, offset, _number(update.data), time.time()))
                await self._open.wait()
        except DefistreamError as error:
            account.error = repr(error)
            self._note(f"{account.channel} ended: {error!r}")
            raise
        finally:
            account.cursor = subscription.cursor or account.cursor
            await subscription.aclose()

    async def _begin(self, client: Client, account: SubscriptionAccount) -> Subscription:
        """A subscription that is in effect; asked for until it is, as an application that starts during a fault would."""
        arguments = {ARGUMENTS[name]: value for name, value in account.filters.items()}
        while True:
            subscription = client.subscribe(
                account.channel, since=account.cursor if self._resume else None, **arguments
            )
            try:
                await subscription.__aenter__()
            except (SubscriptionTimeout, SubscriptionRefused, ConnectionFailed) as error:
                if isinstance(error, SubscriptionRefused) and not error.retryable:
                    account.error = repr(error)
                    raise
                self._note(f"{account.channel} cannot start yet: {error!r}")
                await asyncio.sleep(0.5)
            else:
                return subscription

    async def _confirmed_cursor(self, subscription: Subscription) -> str | None:
        """That of the confirmation just now, not of one that came too late for an attempt before."""
        await asyncio.sleep(0)
        return self._cursors.get(subscription.room or "")

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Subscribed):
            self._cursors[event.room] = event.cursor
        if isinstance(event, events.Conflated):
            self.account.conflated.append(Conflated(event.channel, event.count, event.first, event.last, time.time()))
        self._note(str(event))

    def _note(self, text: str) -> None:
        self.account.timeline.append((time.time(), text))


def _number(data: Any) -> int:
    return int(data["number"])


class Crowd:
    """All applications, and the conversation with the harness."""

    def __init__(self, orders: Orders) -> None:
        resume = orders.broken != "resume"
        self._applications = {each.account.name: Application(each, resume=resume) for each in orders.members}
        self._draw = random.Random(orders.seed)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, lines: asyncio.StreamReader) -> None:
        for application in self._applications.values():
            application.start(after=self._draw.uniform(0, START_SPREAD))
        while line := await lines.readline():
            told = json.loads(line)
            if told["do"] == "finish":
                await self._finish(Path(told["path"]))
                return
            self._say(self._do(told))

    def _do(self, told: dict[str, Any]) -> object:
        match told["do"]:
            case "begun":
                return [name for name, each in self._applications.items() if not each.has_begun]
            case "lacking":
                marks = [tuple(mark) for mark in told["marks"]]
                return [text for each in self._applications.values() for text in each.lacking(marks)]
            case "pause":
                for name in told["clients"]:
                    self._spawn(self._applications[name].pause(told["seconds"]))
            case "restart":
                for name, url in told["clients"].items():
                    self._spawn(self._applications[name].restart(url))
        return None

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say(self, answer: object) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    async def _finish(self, path: Path) -> None:
        await asyncio.gather(*(each.stop() for each in self._applications.values()))
        accounts = [each.account for each in self._applications.values()]
        await asyncio.to_thread(path.write_bytes, msgspec.json.encode(accounts))
        self._say("finished")


def _break(rule: str | None) -> None:
    """For the proof that a run notices."""
    if rule == "repeats":
        Position.take = lambda self, *place, moves: True  # type: ignore[method-assign]


async def main(orders: Orders) -> None:
    _break(orders.broken)
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await Crowd(orders).run(reader)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)))
