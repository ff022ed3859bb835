"""What `auth keys` does. Everything is printed on standard output, and why something was not done on standard error."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from auth.cache import RedisDecisions
from auth.cli import given_limits
from auth.key_stores.redis import RedisKeyStore
from auth.key_texts import record_json, record_text, records_table
from auth.keys import KeyRecord, is_hash, is_id, key_id
from auth.settings import AuthSettings
from common.clock import SystemClock
from common.errors import DefistreamError
from common.events import Revocation
from common.identifiers import KeyHash, hash_api_key, new_api_key
from common.kafka import Kafka, KafkaError
from common.redis import RedisError, connect_redis

KAFKA_SECONDS = 20.0
MAX_KEY_CHARACTERS = 4096


class NotDone(DefistreamError):
    """One line for the person at the terminal."""


async def run_command(settings: AuthSettings, arguments: argparse.Namespace) -> int:
    """The exit code: 0 done, 1 not done."""
    redis = connect_redis(settings)
    commands = KeyCommands(settings, RedisKeyStore(redis), RedisDecisions(redis, SystemClock()), SystemClock())
    try:
        print(await commands.run(arguments))
    except (NotDone, ValueError) as error:
        return _not_done(str(error))
    except RedisError as error:
        return _not_done(f"Redis at {settings.redis_host}:{settings.redis_port} (REDIS_HOST, REDIS_PORT): {error}")
    except (KafkaError, TimeoutError, OSError) as error:
        problem = str(error) or "no answer in time"
        return _not_done(f"Kafka at {settings.kafka_bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS): {problem}")
    finally:
        await redis.aclose()
    return 0


def _not_done(reason: str) -> int:
    print(f"auth: {' '.join(reason.split())}", file=sys.stderr)
    return 1


class KeyCommands:
    def __init__(
        self, settings: AuthSettings, store: RedisKeyStore, decisions: RedisDecisions, clock: SystemClock
    ) -> None:
        self._settings = settings
        self._store = store
        self._decisions = decisions
        self._clock = clock

    async def run(self, arguments: argparse.Namespace) -> str:
        """What to print. Raises `NotDone`, `RedisError`, `KafkaError`."""
        command = {"create": self._create, "list": self._list, "show": self._show, "revoke": self._revoke}[
            arguments.command
        ]
        return await command(arguments)

    async def _create(self, arguments: argparse.Namespace) -> str:
        if self._settings.auth_key_store == "http":
            raise NotDone("AUTH_KEY_STORE is http: keys are made in the key system at AUTH_HTTP_URL")
        given = _key_from_stdin() if arguments.key_stdin else None
        key = given or new_api_key()
        record = await self._record(self._hash(key), arguments)
        await self._store.save(record)
        # A refusal, or what the key might do before, may be remembered.
        await self._decisions.drop([record.key_hash])
        if arguments.json:
            return _json({**record_json(record, self._clock.now_ms()), "key": None if given else key})
        shown = record_text(record, self._clock.now_ms())
        return shown if given else f"{key}\n\nThis is the only time that the key is shown.\n\n{shown}"

    async def _record(self, key_hash: KeyHash, arguments: argparse.Namespace) -> KeyRecord:
        now_ms = self._clock.now_ms()
        before = await self._store.get(key_hash)
        if before is not None and before.revoked_at is not None:
            raise NotDone(f"key {before.id} was revoked, which is for good; make another key")
        expires = arguments.expires
        return KeyRecord(
            key_hash=key_hash,
            user=arguments.user,
            permissions=tuple(dict.fromkeys(arguments.permissions)),
            limits=given_limits(arguments),
            name=arguments.name,
            created_at=before.created_at if before else now_ms,
            expires_at=None if expires is None else now_ms + round(expires.total_seconds() * 1000),
        )

    async def _list(self, arguments: argparse.Namespace) -> str:
        now_ms = self._clock.now_ms()
        records = [each for each in await self._store.matching() if arguments.user in (None, each.user)]
        if arguments.json:
            return _json({"keys": [record_json(record, now_ms) for record in records]})
        return records_table(records, now_ms)

    async def _show(self, arguments: argparse.Namespace) -> str:
        key_hash = await self._named(arguments)
        record = await self._store.get(key_hash)
        if record is None:
            raise NotDone(f"there is no key {key_id(key_hash)}")
        now_ms = self._clock.now_ms()
        return _json(record_json(record, now_ms)) if arguments.json else record_text(record, now_ms)

    async def _revoke(self, arguments: argparse.Namespace) -> str:
        """Record, then cached decision, then topic: who asks after the topic's record finds the key revoked everywhere."""
        key_hash, now_ms = await self._named(arguments), self._clock.now_ms()
        known = await self._store.get(key_hash)
        if known is not None:
            await self._store.revoke(key_hash, at_ms=now_ms)
        await self._decisions.drop([key_hash])
        await self._publish(Revocation(key_hash=key_hash, at=now_ms))
        revoked = await self._store.get(key_hash) or KeyRecord(key_hash=key_hash, revoked_at=now_ms)
        if arguments.json:
            return _json(record_json(revoked, now_ms))
        whose = f"of {known.user}" if known else "of which there is no record here"
        return f"revoked key {revoked.id} {whose}; its connections are closed"

    async def _publish(self, revocation: Revocation) -> None:
        topics, kafka = self._settings.topics(), Kafka(self._settings, client="auth-keys")
        async with asyncio.timeout(KAFKA_SECONDS):
            await kafka.ensure_topics(topics.specs())
            producer = await kafka.start_producer()
            try:
                await producer.send_and_wait(
                    topics.auth_revocations, revocation.encode(), key=revocation.key_hash.encode()
                )
            finally:
                await producer.stop()

    async def _named(self, arguments: argparse.Namespace) -> KeyHash:
        """The hash of the key that the arguments name. Raises `NotDone` where they name none, or several."""
        if arguments.key_stdin:
            return self._hash(_key_from_stdin())
        text = arguments.id.strip().lower()
        if is_hash(text):
            return KeyHash(text)
        if not is_id(text):
            raise NotDone(f"{arguments.id!r} is no id of a key: those are hex digits, as `auth keys list` shows them")
        found = await self._store.matching(text)
        if not found:
            raise NotDone(f"there is no key {text}")
        if len(found) > 1:
            raise NotDone(f"{text} is ambiguous: {', '.join(record.key_hash[: len(text) + 4] for record in found[:5])}")
        return found[0].key_hash

    def _hash(self, key: str) -> KeyHash:
        return hash_api_key(key, self._settings.api_key_pepper.get_secret_value())


def _key_from_stdin() -> str:
    key = sys.stdin.readline(MAX_KEY_CHARACTERS + 1).strip()
    if not key:
        raise NotDone("--key-stdin: there is no key on standard input")
    if len(key) > MAX_KEY_CHARACTERS:
        raise NotDone(f"--key-stdin: the key is longer than {MAX_KEY_CHARACTERS} characters")
    return key


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
