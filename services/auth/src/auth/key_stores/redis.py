"""Key records in Redis, made by `auth keys`: a hash `auth:key:{hash}` with `record` (JSON) and, once revoked, `revokedAt`.

The two fields are apart so that a record written anew at the moment of its revocation cannot undo it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import ValidationError

from auth.key_stores import Found, NotAnswered
from auth.keys import KeyRecord, key_id
from common import redis_keys
from common.identifiers import KeyHash
from common.logs import describe, get_logger
from common.redis import Redis, RedisError

log = get_logger("auth.key_stores.redis")

_FIELDS = ("record", "revokedAt")
_SCAN_COUNT = 1000


class RedisKeyStore:
    """Answers a batch with one round trip. The client belongs to the caller, and so do its time limits."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Found]:
        try:
            rows = await self._read(hashes)
        except RedisError as error:
            log.warning("key_store_failed", **describe(error))
            return dict.fromkeys(hashes, NotAnswered("redis", "the key store is away"))
        return {key_hash: _found(key_hash, *row) for key_hash, row in zip(hashes, rows, strict=True)}

    async def aclose(self) -> None:
        pass

    async def get(self, key_hash: KeyHash) -> KeyRecord | None:
        """One record. Raises `RedisError`, and `ValueError` for a record that cannot be read."""
        (row,) = await self._read([key_hash])
        return _parse(*row)

    async def save(self, record: KeyRecord) -> None:
        """Write the record, new or anew; a revocation stays. Raises `RedisError`."""
        text = record.model_dump_json(by_alias=True, exclude={"revoked_at"})
        await self._redis.hset(redis_keys.auth_key(record.key_hash), "record", text)

    async def revoke(self, key_hash: KeyHash, *, at_ms: int) -> None:
        """The key is revoked from its first revocation on. Raises `RedisError`."""
        await self._redis.hsetnx(redis_keys.auth_key(key_hash), "revokedAt", str(at_ms))

    async def matching(self, prefix: str = "") -> list[KeyRecord]:
        """The records whose hash begins so, oldest first; unreadable ones are logged and left out. Raises `RedisError`."""
        pattern = redis_keys.auth_key(KeyHash(f"{prefix}*"))
        start = len(redis_keys.auth_key(KeyHash("")))
        names = {name async for name in self._redis.scan_iter(match=pattern, count=_SCAN_COUNT)}
        hashes = [KeyHash(name[start:]) for name in sorted(names)]
        rows = await self._read(hashes) if hashes else []
        found = [_found(key_hash, *row) for key_hash, row in zip(hashes, rows, strict=True)]
        return sorted(
            (each for each in found if isinstance(each, KeyRecord)), key=lambda record: record.created_at or 0
        )

    async def _read(self, hashes: Collection[KeyHash]) -> list[tuple[str | None, str | None]]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key_hash in hashes:
                pipeline.hmget(redis_keys.auth_key(key_hash), _FIELDS)
            return [(record, revoked) for record, revoked in await pipeline.execute()]


def _found(key_hash: KeyHash, text: str | None, revoked_at: str | None) -> Found:
    try:
        return _parse(text, revoked_at)
    except ValueError as error:
        log.warning("key_record_unreadable", key=key_id(key_hash), **describe(error))
        return NotAnswered("malformed", "the record of this key cannot be read")


def _parse(text: str | None, revoked_at: str | None) -> KeyRecord | None:
    if text is None:
        return None
    try:
        record = KeyRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return record if revoked_at is None else record.model_copy(update={"revoked_at": int(revoked_at)})
