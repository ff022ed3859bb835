"""Whether what a service needs still answers: what `/readyz` says while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.health import Readiness
from common.kafka import KafkaError
from common.logs import get_logger
from common.redis import RedisError

log = get_logger("watch")

_INTERVAL_SECONDS = 1.0
_LIMIT_SECONDS = 3.0


class NotYet(Exception):
    """There, but not usable yet; the text says why."""


async def watch(readiness: Readiness, name: str, ask: Callable[[], Awaitable[object]]) -> None:
    """Ask at once and each second until cancelled; no answer in 3 s is none. A change is logged, once for each."""
    missing = reached = False
    while True:
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                await ask()
        except (KafkaError, RedisError, OSError, TimeoutError, NotYet) as error:
            reason = str(error) or "no answer"
            readiness.missing(name, reason)
            if not missing and not isinstance(error, NotYet):
                missing = True
                log.warning("unavailable" if reached else "waiting_for", what=name, reason=reason)
        else:
            readiness.available(name)
            reached = True
            if missing:
                missing = False
                log.info("available", what=name)
        await asyncio.sleep(_INTERVAL_SECONDS)
