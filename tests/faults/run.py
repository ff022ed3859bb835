"""One run: start all, publish, injure, make good, wait until quiet, and compare."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import redis

from tests.faults.accounts import ClientAccount, Orders
from tests.faults.audience import AUDITOR, Listener, listeners, marked_users
from tests.faults.backends import Backends
from tests.faults.crowd_control import CrowdControl, member
from tests.faults.fleet import Fleet
from tests.faults.injection import Injection
from tests.faults.judge import Log, Verdict, judge
from tests.faults.options import Options
from tests.faults.plan import Fault, make_plan
from tests.faults.stream import Stream
from tests.faults.updates import USERS, records
from tests.support.kafka import delete_topics

BEGIN_SECONDS = 180.0
QUIET_SECONDS = 240.0
"""A client may wait 30 s before it comes back, and once more when it then finds nobody."""


@dataclass(slots=True)
class Outcome:
    """What a run found. `trouble`: why it could not be judged as it should, or what did not heal."""

    seed: int
    faults: Counter[str]
    updates: int
    clients: int
    quiet_after: float | None
    verdict: Verdict
    reconnects: int = 0
    failed_writes: int = 0
    trouble: list[str] = field(default_factory=list)
    diary: list[tuple[float, str]] = field(default_factory=list)
    accounts: list[ClientAccount] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.trouble and not self.verdict.findings


class Run:
    """One seed on given servers. Everything that it starts ends with it."""

    def __init__(self, options: Options, seed: int, backends: Backends, redis_db: int, work: Path) -> None:
        self._options = options
        self._seed = seed
        self._backends = backends
        self._prefix = f"faults-{seed}-{int(time.time())}-"
        self._work = work
        self._fleet = Fleet(backends, self._prefix, redis_db, work)
        self._began = time.time()
        self._diary: list[tuple[float, str]] = []

    async def run(self) -> Outcome:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        self._say(f"seed {self._seed}: starting; logs in {self._work}")
        trouble: list[str] = []
        try:
            await self._fleet.start()
            outcome = await self._run(trouble)
        finally:
            await self._close(trouble)
        outcome.diary = self._diary
        return outcome

    async def _run(self, trouble: list[str]) -> Outcome:
        audience = listeners(f"{self._seed}/audience", self._options.clients)
        crowd = await self._crowd(audience)
        injection = Injection(self._fleet, crowd, self._say)
        try:
            async with Stream(self._backends.kafka, self._prefix) as stream:
                quiet = await self._injure(stream, crowd, injection, audience, trouble)
                accounts = await crowd.finish()
                log = await stream.read()
        finally:
            await crowd.close()
        trouble += _lost_writes(log, stream)
        self._say("comparing")
        return Outcome(
            self._seed,
            injection.done,
            sum(entry.update is not None for whole in log.values() for entry in whole),
            len(accounts),
            quiet,
            await asyncio.to_thread(judge, log, accounts),
            reconnects=sum("Reconnecting" in text for each in accounts for _at, text in each.timeline),
            failed_writes=stream.failed,
            trouble=trouble,
            accounts=accounts,
        )

    async def _crowd(self, audience: list[Listener]) -> CrowdControl:
        keys = {user: self._fleet.system.key(user, "channel:*") for user in USERS}
        keys[AUDITOR] = self._fleet.system.key(AUDITOR, "channel:*", "users:*")
        urls = {name: f"ws://{link.address}/v2/realtime" for name, link in self._fleet.fronts.items()}
        members = [member(listener, urls[listener.front], keys[listener.user]) for listener in audience]
        crowd = CrowdControl(Orders(f"{self._seed}/crowd", members, self._options.broken), urls, self._work)
        await crowd.start()
        return crowd

    async def _injure(
        self,
        stream: Stream,
        crowd: CrowdControl,
        injection: Injection,
        audience: list[Listener],
        trouble: list[str],
    ) -> float | None:
        """Seconds until the marks behind everything had reached everyone, None where they did not."""
        async with asyncio.TaskGroup() as group:
            group.create_task(stream.write(records(f"{self._seed}/updates"), self._options.rate))
            try:
                if waiting := await crowd.wait_begun(BEGIN_SECONDS):
                    trouble.append(f"after {BEGIN_SECONDS} s {len(waiting)} clients have not begun: {waiting[:10]}")
                else:
                    self._say(f"{len(audience)} clients have begun")
                    await injection.run(self._plan())
            finally:
                await stream.finish()
        await self._fleet.wait_all_ready()
        trouble += injection.trouble + self._fleet.died()
        self._say("all faults are over; marks follow")
        began = time.monotonic()
        marks = await stream.write_marks(marked_users(audience))
        lacking = await crowd.wait_for_marks(marks, QUIET_SECONDS)
        if lacking:
            trouble.append(f"after {QUIET_SECONDS} s {len(lacking)} marks are still lacking: {lacking[:8]}")
            return None
        self._say(f"quiet after {time.monotonic() - began:.1f} s")
        return time.monotonic() - began

    def _plan(self) -> list[Fault]:
        allows = [
            *(["links"] if self._backends.kafka_links else []),
            *(["containers"] if self._backends.kafka_container else []),
        ]
        return make_plan(f"{self._seed}/faults", seconds=self._options.seconds, gap=self._options.gap, allows=allows)

    async def _close(self, trouble: list[str]) -> None:
        try:
            await self._fleet.close()
        except AssertionError as error:
            trouble.append(f"{error}")
        with redis.Redis(
            self._backends.servers.redis.host,
            self._backends.servers.redis.port,
            int(self._fleet.system.environment["REDIS_DB"]),
            self._backends.servers.redis_password,
        ) as client:
            client.flushdb()
        if self._backends.servers.kind != "embedded":
            await asyncio.to_thread(delete_topics, self._backends.kafka, self._prefix)

    def _say(self, text: str) -> None:
        now = time.time()
        self._diary.append((now, text))
        print(f"{time.strftime('%H:%M:%S', time.localtime(now))} {now - self._began:6.1f} {text}", flush=True)


Say = Callable[[str], None]


def _lost_writes(log: Log, stream: Stream) -> list[str]:
    """Acknowledged records that the broker lost: not the product's fault, but then the run proves nothing."""
    held = {(channel, *entry.place) for channel, whole in log.items() for entry in whole}
    lost = stream.acknowledged - held
    return [f"the broker lost {len(lost)} acknowledged records: {sorted(lost)[:5]}"] if lost else []


def keep_evidence(outcome: Outcome, path: Path) -> None:
    """What was found, and all that clients told, as JSON."""
    path.write_bytes(msgspec.json.encode({"findings": outcome.verdict.findings, "accounts": outcome.accounts}))
