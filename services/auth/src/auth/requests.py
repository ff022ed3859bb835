"""Requests of gateways: a batch from `auth.requests` in, replies to the asking slots out.

A request that cannot be read, names no slot, or is so old that its gateway has given up is passed over. The batch is
committed after its replies are acknowledged; a batch that fails is read again, and replying twice harms nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from aiokafka import ConsumerRecord
from faststream.kafka import KafkaMessage
from faststream.middlewares import AckPolicy
from pydantic import ValidationError

from auth.replies import Replies
from auth.settings import AuthSettings
from auth.validation import Answer, Validator
from common.clock import Clock
from common.events import AuthReply, AuthRequest, Decision
from common.faststream import KafkaBroker, subscriber_options
from common.identifiers import KeyHash
from common.logs import describe, get_logger
from common.metrics import auth_decision_seconds, auth_requests_total

log = get_logger("auth.requests")


class Requests:
    """Answers batches. `slots` is the number of partitions of `auth.replies`."""

    def __init__(self, validator: Validator, replies: Replies, *, slots: int, max_age_ms: int, clock: Clock) -> None:
        self._validator = validator
        self._replies = replies
        self._slots = slots
        self._max_age_ms = max_age_ms
        self._clock = clock

    async def handle(self, batch: Sequence[AuthRequest]) -> None:
        """Answer each request once; those for the same key share one lookup. Raises `KafkaError` when replies fail."""
        started = perf_counter()
        asked = self._by_key(batch)
        async for answers in self._validator.validate(asked):
            # Encoded before the first await: until then the answers hold against every revocation read.
            replies = [
                (request.slot, _reply(request, answer))
                for key_hash, answer in answers.items()
                for request in asked[key_hash]
            ]
            await self._replies.send(replies)
            auth_decision_seconds.observe(perf_counter() - started)

    def _by_key(self, batch: Sequence[AuthRequest]) -> dict[KeyHash, list[AuthRequest]]:
        asked: dict[KeyHash, list[AuthRequest]] = defaultdict(list)
        oldest_at = self._clock.now_ms() - self._max_age_ms
        late = 0
        for request in batch:
            if request.at < oldest_at:
                late += 1
            elif 0 <= request.slot < self._slots:
                asked[request.key_hash].append(request)
            else:
                _passed_over("no_such_slot", slot=request.slot)
        if late:
            auth_requests_total.labels(outcome="late", source="none").inc(late)
            log.warning("requests_late", requests=late, older_than_ms=self._max_age_ms)
        return asked


def subscribe(broker: KafkaBroker, requests: Requests, settings: AuthSettings) -> None:
    """Have the broker, once started, hand batches of `auth.requests` to `requests`, as a member of the group `auth`."""
    subscriber = broker.subscriber(
        settings.topics().auth_requests,
        group_id=f"{settings.topic_prefix}auth",
        batch=True,
        batch_timeout_ms=round(settings.auth_batch_wait.total_seconds() * 1000),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        no_reply=True,
        **subscriber_options(settings),
    )

    async def handle(batch: list[AuthRequest]) -> None:
        await requests.handle(batch)

    subscriber(handle, parser=_without_headers, decoder=_decode)


async def _without_headers(records: tuple[ConsumerRecord[Any, Any], ...], parse: Any) -> Any:
    """FastStream reads headers as UTF-8, and one that is not would cost the whole batch. Ours carry none."""
    return await parse(tuple(replace(record, headers=()) if record.headers else record for record in records))


async def _decode(message: KafkaMessage) -> list[AuthRequest]:
    records: Any = message.raw_message
    requests: list[AuthRequest] = []
    for record in records:
        try:
            requests.append(AuthRequest.model_validate_json(record.value or b""))
        except ValidationError as error:
            where = {"partition": record.partition, "offset": record.offset}
            _passed_over("unreadable", **where, **describe(error))
    return requests


def _passed_over(problem: str, **fields: Any) -> None:
    auth_requests_total.labels(outcome="malformed", source="none").inc()
    log.warning("request_passed_over", problem=problem, **fields)


def _reply(request: AuthRequest, answer: Answer) -> bytes:
    auth_requests_total.labels(outcome=_outcome(answer.decision), source=answer.source).inc()
    reply = AuthReply(request=request.request, epoch=request.epoch, key_hash=request.key_hash, decision=answer.decision)
    return reply.encode()


def _outcome(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "undecided" if decision.retryable else "refused"
