"""Key records in an existing key system, asked over HTTP by the key's hash: the key itself never gets as far as here."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import httpx

from auth.breaker import CircuitBreaker
from auth.key_stores import Found, NotAnswered
from auth.key_stores.http_answers import AnswerFields, MalformedAnswer, read_answer
from common.clock import Clock
from common.identifiers import KeyHash
from common.logs import get_logger

log = get_logger("auth.key_stores.http")

AWAY = "the key system is away"
HASH = "{key_hash}"


@dataclass(frozen=True, slots=True)
class Call:
    """How the key system is asked. `{key_hash}` in the URL and in the header's value is replaced; POST sends it as JSON."""

    url: str
    method: str = "GET"
    header: tuple[str, str] | None = None
    unknown_statuses: frozenset[int] = frozenset({404})

    def request(self, client: httpx.AsyncClient, key_hash: KeyHash) -> httpx.Request:
        headers = {self.header[0]: self.header[1].replace(HASH, key_hash)} if self.header else {}
        body = {"keyHash": key_hash} if self.method == "POST" else None
        return client.build_request(self.method, self.url.replace(HASH, key_hash), headers=headers, json=body)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`timeout` of one call and `batch_timeout` of all, seconds; `concurrency` calls are open at a time."""

    timeout: float = 2.0
    batch_timeout: float = 4.0
    concurrency: int = 64


class HttpKeyStore:
    """A failed call is not repeated: the client that waits for it is told to try again. The breaker counts failures."""

    def __init__(self, call: Call, fields: AnswerFields, bounds: Bounds, breaker: CircuitBreaker, clock: Clock) -> None:
        self._call = call
        self._fields = fields
        self._bounds = bounds
        self._breaker = breaker
        self._clock = clock
        self._open = asyncio.Semaphore(bounds.concurrency)
        limits = httpx.Limits(max_connections=bounds.concurrency, max_keepalive_connections=bounds.concurrency)
        self._client = httpx.AsyncClient(timeout=bounds.timeout, limits=limits, follow_redirects=False)

    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Found]:
        until = asyncio.get_running_loop().time() + self._bounds.batch_timeout
        async with asyncio.TaskGroup() as group:
            asked = {key_hash: group.create_task(self._find(key_hash, until)) for key_hash in hashes}
        return {key_hash: task.result() for key_hash, task in asked.items()}

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _find(self, key_hash: KeyHash, until: float) -> Found:
        try:
            async with asyncio.timeout_at(until), self._open:
                if not self._breaker.allows(self._clock.monotonic()):
                    return NotAnswered("open", AWAY)
                return await self._ask(key_hash)
        except TimeoutError:
            return NotAnswered("busy", "the key system is busy")

    async def _ask(self, key_hash: KeyHash) -> Found:
        try:
            # httpx limits each read and write; this limits an answer that trickles in.
            async with asyncio.timeout(self._bounds.timeout):
                response = await self._client.send(self._call.request(self._client, key_hash))
        except (TimeoutError, httpx.TimeoutException):
            return self._failed("timeout", "no answer in time")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return self._failed("connection", type(error).__name__)
        return self._read(response, key_hash)

    def _read(self, response: httpx.Response, key_hash: KeyHash) -> Found:
        if response.status_code in self._call.unknown_statuses:
            self._succeeded()
            return None
        if not response.is_success:
            return self._failed("status", f"HTTP status {response.status_code}")
        try:
            record = read_answer(response.json(), self._fields, key_hash)
        except (MalformedAnswer, ValueError) as error:
            return self._failed("malformed", str(error))
        self._succeeded()
        return record

    def _succeeded(self) -> None:
        if self._breaker.succeeded():
            log.info("key_system_answers_again")

    def _failed(self, kind: str, problem: str) -> NotAnswered:
        if self._breaker.failed(self._clock.monotonic()):
            log.warning("key_system_left_alone", seconds=self._breaker.open_seconds, kind=kind, problem=problem)
        return NotAnswered(kind, AWAY)
