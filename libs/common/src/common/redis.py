"""Redis, or Valkey: one client a process, time limits on every call, scripts from `.lua` files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib.resources import files

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.settings import CommonSettings

__all__ = [
    "AsyncScript",
    "Redis",
    "RedisConnectionError",
    "RedisError",
    "RedisTimeoutError",
    "WatchError",
    "connect_redis",
    "load_script",
]

CALL_TIMEOUT_SECONDS = 2.0


class _Sending(AbstractConnection):
    """Two things that redis-py does not see when it sends.

    Its `asyncio.wait_for` loses, in Python 3.11, a cancellation that comes as the sending ends: the caller would go on as if nobody had
    cancelled it. And what uvloop raises where the transport is closed, `RuntimeError`, is a lost connection.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        task = asyncio.current_task()
        assert task is not None
        cancellations = task.cancelling()
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(f"Connection closed: {error}") from error
        if task.cancelling() > cancellations:
            # Nobody will read the answer to what was sent.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


class _Plain(_Sending, Connection):
    """Over TCP."""


class _Encrypted(_Sending, SSLConnection):
    """Over TLS."""


def connect_redis(settings: CommonSettings, *, max_connections: int = 16) -> Redis:
    """A client that connects when first used; close it with `aclose()`. Text in, text out; what is not UTF-8 comes as surrogates.

    A call fails with `RedisError` after 2 s at the latest for each try; one retry covers a connection that a restart has cut.
    """
    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    redis = Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        password=password,
        db=settings.redis_db,
        ssl=settings.redis_ssl,
        decode_responses=True,
        encoding_errors="surrogateescape",
        socket_timeout=CALL_TIMEOUT_SECONDS,
        socket_connect_timeout=CALL_TIMEOUT_SECONDS,
        max_connections=max_connections,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), retries=1),
    )
    redis.connection_pool.connection_class = _Encrypted if settings.redis_ssl else _Plain
    return redis


def load_script(redis: Redis, package: str, name: str) -> AsyncScript:
    """The script `lua/<name>.lua` of a package; sent once, then called by its hash."""
    return redis.register_script(files(package).joinpath("lua", f"{name}.lua").read_text())
