"""`auth keys` as people run it: a process, with servers of the run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from auth.key_stores.redis import RedisKeyStore
from auth.keys import KeyRecord
from auth.settings import AuthSettings
from common.events import Revocation
from common.identifiers import KeyHash, hash_api_key
from common.kafka import Kafka, TopicPartition, at_end
from common.redis_keys import auth_decision, auth_key
from deploy.local.ports import free_port
from services.auth.tests.conftest import PEPPER

AUTH = Path(sys.executable).with_name("auth")


@pytest.fixture
def run(system):
    def run(*arguments: str, text: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (AUTH, "keys", *arguments),
            env={**system.child_environment, **variables},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def keys(run):
    def keys(*arguments: str, text: str = "", **variables: str) -> Any:
        done = run(*arguments, "--json", text=text, **variables)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return json.loads(done.stdout)

    return keys


def not_done(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that says why."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("auth: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("auth: ").strip()


def record(key: str, user: str = "alice") -> KeyRecord:
    return KeyRecord(key_hash=hash_api_key(key, PEPPER), user=user, permissions=("*",), created_at=1)


async def revocations(settings: AuthSettings) -> list[Revocation]:
    """All of the topic."""
    partition = TopicPartition(settings.topics().auth_revocations, 0)
    consumer = Kafka(settings, client="test").consumer(auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        found: list[Revocation] = []
        while not await at_end(consumer, [partition]):
            records = (await consumer.getmany(timeout_ms=500)).get(partition, [])
            assert all(record.key == json.loads(record.value)["key_hash"].encode() for record in records)
            found += [Revocation.model_validate_json(record.value) for record in records]
        return found
    finally:
        await consumer.stop()


async def test_a_key_is_printed_once_and_only_its_hash_is_kept(keys, redis):
    made = keys("create", "--user", "alice", "--permission", "channel:tvl", "--name", "desk", "--expires", "1h")
    assert made["hash"] == hash_api_key(made["key"], PEPPER)
    assert made["id"] == made["hash"][:12]
    assert (made["user"], made["permissions"], made["limits"]) == ("alice", ["channel:tvl"], {})
    assert made["expiresAt"] - made["createdAt"] == 3_600_000
    assert abs(made["createdAt"] - time.time() * 1000) < 60_000
    assert made["key"] not in str(await redis.hgetall(auth_key(made["hash"])))
    assert made["key"] not in str(keys("list"))


def test_a_person_is_shown_the_key_first(run, redis):
    shown = run("create", "--user", "alice", "--permission", "*", "--unlimited").stdout.splitlines()
    assert shown[0].startswith("ds_")
    assert "messagesPerMinute=none" in "\n".join(shown)


async def test_a_key_from_standard_input_is_registered_and_updated(keys, redis):
    first = keys("create", "--user", "demo", "--permission", "*", "--key-stdin", text="demo-key\n")
    again = keys("create", "--user", "demo", "--permission", "broadcast", "--unlimited", "--key-stdin", text="demo-key")
    assert first["key"] is None
    assert (again["id"], again["createdAt"]) == (first["id"], first["createdAt"])
    (only,) = keys("list")["keys"]
    assert (only["hash"], only["permissions"]) == (hash_api_key("demo-key", PEPPER), ["broadcast"])


async def test_making_a_key_forgets_that_it_was_refused(keys, redis):
    name = auth_decision(hash_api_key("late-key", PEPPER))
    await redis.set(name, "refused")
    keys("create", "--user", "demo", "--permission", "*", "--key-stdin", text="late-key")
    assert not await redis.exists(name)


def test_a_key_needs_no_kafka_to_be_made(keys, redis):
    keys("create", "--user", "alice", "--permission", "*", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")


async def test_the_list_can_be_narrowed_to_a_user(keys, run, redis):
    for number, user in enumerate(("alice", "bob", "alice")):
        await RedisKeyStore(redis).save(record(f"key-{number}", user=user))
    assert [each["user"] for each in keys("list", "--user", "alice")["keys"]] == ["alice", "alice"]
    assert run("list").stdout.count("\n") == 4
    assert run("list", "--user", "carol").stdout == "no keys\n"


async def test_a_key_is_shown_by_the_beginning_of_its_hash_and_by_itself(keys, redis):
    shown = record("mine")
    await RedisKeyStore(redis).save(shown)
    assert keys("show", shown.id.upper())["hash"] == shown.key_hash
    assert keys("show", "--key-stdin", text="mine")["hash"] == shown.key_hash


async def test_a_revoked_key_is_marked_then_forgotten_then_told(keys, redis, settings):
    made = keys("create", "--user", "alice", "--permission", "*")
    await redis.set(auth_decision(made["hash"]), "allowed")
    revoked = keys("revoke", made["id"])
    assert (revoked["id"], revoked["status"]) == (made["id"], "revoked")
    assert keys("show", made["id"])["revokedAt"] == revoked["revokedAt"]
    assert not await redis.exists(auth_decision(made["hash"]))
    assert made["hash"] in [each.key_hash for each in await revocations(settings)]


async def test_revoking_again_tells_again_and_keeps_the_time(keys, redis, settings):
    revoked = record("twice")
    await RedisKeyStore(redis).save(revoked)
    await RedisKeyStore(redis).revoke(revoked.key_hash, at_ms=5)
    assert keys("revoke", revoked.id)["revokedAt"] == 5
    assert revoked.key_hash in [each.key_hash for each in await revocations(settings)]


async def test_a_key_of_another_system_is_revoked_by_its_hash(run, redis, settings):
    key_hash = hash_api_key("foreign", PEPPER)
    done = run("revoke", key_hash)
    assert "of which there is no record here" in done.stdout
    assert key_hash in [each.key_hash for each in await revocations(settings)]


async def test_a_revoked_key_cannot_be_made_again(run, redis):
    await RedisKeyStore(redis).save(record("gone"))
    await RedisKeyStore(redis).revoke(record("gone").key_hash, at_ms=5)
    assert "is for good" in not_done(run("create", "--user", "demo", "--permission", "*", "--key-stdin", text="gone"))


async def test_an_id_that_names_no_key_or_several_is_one_line(run, redis):
    for digit in "01":
        await RedisKeyStore(redis).save(KeyRecord(key_hash=KeyHash("abcd" + digit * 60)))
    assert not_done(run("revoke", "abcd")) == "abcd is ambiguous: abcd0000, abcd1111"
    assert not_done(run("show", "beef")) == "there is no key beef"
    assert "is no id of a key" in not_done(run("show", "*"))
    assert "no key on standard input" in not_done(run("revoke", "--key-stdin", text="\n"))


def test_redis_or_kafka_being_away_is_one_line(run, redis):
    nowhere = str(free_port())
    assert "REDIS_PORT" in not_done(run("list", REDIS_HOST="127.0.0.1", REDIS_PORT=nowhere))
    line = not_done(run("revoke", record("mine").key_hash, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{nowhere}"))
    assert "KAFKA_BOOTSTRAP_SERVERS" in line


def test_with_an_existing_key_system_keys_are_made_there(run, redis):
    http = {"AUTH_KEY_STORE": "http", "AUTH_HTTP_URL": "http://keys/{key_hash}"}
    assert "AUTH_KEY_STORE is http" in not_done(run("create", "--user", "alice", "--permission", "*", **http))


def test_a_wrong_setting_ends_it_with_2(run):
    done = run("list", REDIS_PORT="none")
    assert done.returncode == 2
    assert done.stderr.startswith("auth: REDIS_PORT: ")
