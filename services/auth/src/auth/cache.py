"""Decisions kept for a while: in this process (least recently used go first), and in Redis for all auth processes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from common import redis_keys
from common.clock import Clock
from common.events import Decision
from common.identifiers import KeyHash
from common.logs import describe, get_logger
from common.metrics import auth_key_store_errors_total
from common.redis import Redis, RedisError

log = get_logger("auth.cache")


class Kept(BaseModel):
    """A decision that may be used before `until`, milliseconds since 1970, wherever it is kept."""

    model_config = ConfigDict(frozen=True)

    decision: Decision
    until: int


class SharedDecisions(Protocol):
    """A cache that other processes see. It may forget at any time, and never raises."""

    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Kept]: ...

    async def keep(self, kept: Mapping[KeyHash, Kept]) -> None: ...

    async def drop(self, hashes: Collection[KeyHash]) -> None: ...


class RecentDecisions:
    """At most `size` decisions in this process."""

    def __init__(self, size: int, clock: Clock) -> None:
        self._size = size
        self._clock = clock
        self._kept: OrderedDict[KeyHash, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key_hash: KeyHash) -> Decision | None:
        kept = self._kept.get(key_hash)
        if kept is None:
            return None
        if self._clock.now_ms() >= kept.until:
            del self._kept[key_hash]
            return None
        self._kept.move_to_end(key_hash)
        return kept.decision

    def keep(self, key_hash: KeyHash, kept: Kept) -> None:
        self._kept[key_hash] = kept
        self._kept.move_to_end(key_hash)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop(self, hashes: Iterable[KeyHash]) -> None:
        for key_hash in hashes:
            self._kept.pop(key_hash, None)


class RedisDecisions:
    """`auth:decision:{hash}`, one round trip a batch. Redis being away costs speed only, so it is counted and passed over."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Kept]:
        if not hashes:
            return {}
        try:
            texts = await self._redis.mget([redis_keys.auth_decision(key_hash) for key_hash in hashes])
        except RedisError as error:
            _failed(error)
            return {}
        now_ms = self._clock.now_ms()
        read = {key_hash: _parse(text) for key_hash, text in zip(hashes, texts, strict=True)}
        return {key_hash: kept for key_hash, kept in read.items() if kept is not None and now_ms < kept.until}

    async def keep(self, kept: Mapping[KeyHash, Kept]) -> None:
        now_ms = self._clock.now_ms()
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for key_hash, each in kept.items():
                    # PX 0 is an error, and what ends this millisecond need not be kept.
                    if each.until > now_ms:
                        pipeline.set(redis_keys.auth_decision(key_hash), each.model_dump_json(), px=each.until - now_ms)
                await pipeline.execute()
        except RedisError as error:
            _failed(error)

    async def drop(self, hashes: Collection[KeyHash]) -> None:
        if not hashes:
            return
        try:
            await self._redis.delete(*(redis_keys.auth_decision(key_hash) for key_hash in hashes))
        except RedisError as error:
            _failed(error)


def _parse(text: str | bytes | None) -> Kept | None:
    """A decision of a version that wrote another form is as good as none."""
    if text is None:
        return None
    try:
        return Kept.model_validate_json(text)
    except ValidationError:
        return None


def _failed(error: RedisError) -> None:
    auth_key_store_errors_total.labels(kind="cache").inc()
    log.debug("decision_cache_failed", **describe(error))
