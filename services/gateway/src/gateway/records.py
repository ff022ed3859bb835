"""Control records on their way to Kafka: put at once, sent in order by one task, kept until the broker has them.

waiting --- sent ---> on their way --- acknowledged ---> gone
   ^                       |
   +---- one failed -------+  from it on all are sent again, when nothing is on its way any more: so records of a key keep their order

A record may so arrive twice; its readers take that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from aiokafka.errors import MessageSizeTooLargeError

from common.backoff import Backoff
from common.kafka import KafkaError
from common.logs import describe, get_logger

log = get_logger("records")

MAX_WAITING = 100_000
_SENT_A_TURN = 50
"""Records handed to the producer before others have their turn: 2 ms."""
Acknowledged = Callable[[int, int], None]
Headers = Sequence[tuple[str, bytes]]


class Sender(Protocol):
    """Awaiting gives a future: the broker's acknowledgement, with partition and offset. Raises `KafkaError`, now or by the future."""

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, *, headers: Headers | None = None
    ) -> asyncio.Future[Any]: ...


@dataclass(slots=True, eq=False)
class Outgoing:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    acknowledged: Acknowledged | None = None
    """Called with partition and offset each time that the broker has it."""
    is_settled: bool = False
    """The broker has it, or never will."""


class Records:
    """At most 100,000 records wait. At that bound `is_full` turns new work away; what ends earlier work is still taken.

    `patience`: seconds of the first pause after a failure.
    """

    def __init__(self, *, patience: float = 0.2) -> None:
        self._patience = patience
        self._waiting: deque[Outgoing] = deque()
        self._sent: deque[Outgoing] = deque()
        """On their way, in order, from the first that is not settled on."""
        self._unanswered = 0
        self._failed = False
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) + len(self._sent) >= MAX_WAITING

    @property
    def is_idle(self) -> bool:
        """Whether the broker has everything that was put."""
        return self._idle.is_set()

    def put(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Headers = (),
        acknowledged: Acknowledged | None = None,
    ) -> None:
        """Records of one topic and key arrive in the order of the calls."""
        self._waiting.append(Outgoing(topic, key, value, headers, acknowledged))
        self._idle.clear()
        self._wake.set()

    async def run(self, sender: Sender) -> None:
        """Send until cancelled."""
        backoff = Backoff(first=self._patience, most=1.0)
        sent = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._failed:
                if self._failed:
                    await self._take_back()
                    await asyncio.sleep(backoff.next())
                elif await self._send(sender, self._waiting[0]):
                    backoff.reset()
                    sent += 1
                    if sent % _SENT_A_TURN == 0:
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep(backoff.next())

    async def flushed(self) -> None:
        """Return when everything put so far is acknowledged."""
        await self._idle.wait()

    async def _send(self, sender: Sender, record: Outgoing) -> bool:
        try:
            future = await sender.send(record.topic, record.value, record.key, headers=list(record.headers))
        except MessageSizeTooLargeError as error:
            log.warning("record_too_large", topic=record.topic, **describe(error))
            self._waiting.popleft()
            return True
        except KafkaError as error:
            log.warning("record_not_sent", topic=record.topic, **describe(error))
            return False
        self._waiting.popleft()
        self._sent.append(record)
        self._unanswered += 1
        future.add_done_callback(partial(self._settled, record))
        return True

    async def _take_back(self) -> None:
        """Put what failed, and what was sent after it, before what waits."""
        while self._unanswered:
            self._answered.clear()
            await self._answered.wait()
        self._failed = False
        for record in self._sent:
            record.is_settled = False
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()

    def _settled(self, record: Outgoing, done: asyncio.Future[Any]) -> None:
        self._unanswered -= 1
        self._answered.set()
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            if not self._failed:
                log.warning("record_not_acknowledged", topic=record.topic, **describe(error or KafkaError("cancelled")))
            self._failed = True
            self._wake.set()
            return
        record.is_settled = True
        while self._sent and self._sent[0].is_settled:
            self._sent.popleft()
        if record.acknowledged is not None:
            metadata = done.result()
            record.acknowledged(metadata.partition, metadata.offset)
        if not self._sent and not self._waiting:
            self._idle.set()
