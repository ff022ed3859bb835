"""Many API keys at once, written as `auth keys create` would."""

from __future__ import annotations

import time

from auth.key_stores.redis import RedisKeyStore
from auth.keys import KeyRecord
from common.identifiers import hash_api_key, new_api_key
from common.limits import UNLIMITED
from tests.support.records import Records


async def make_keys(records: Records, count: int, pepper: str) -> list[str]:
    """Keys that may do all without limits of rate, each with a user of its own."""
    store = RedisKeyStore(records.redis)
    keys = [new_api_key() for _ in range(count)]
    now = time.time_ns() // 1_000_000
    for number, key in enumerate(keys):
        key_hash = hash_api_key(key, pepper)
        record = KeyRecord(
            key_hash=key_hash, user=f"bench-{number}", permissions=("*",), limits=UNLIMITED, created_at=now
        )
        await store.save(record)
    return keys
