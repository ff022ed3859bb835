"""Closed transports: what uvloop raises where one is written to, told as aiokafka knows it.

uvloop raises `RuntimeError` when a connection was lost and its owner has not heard yet; asyncio's own transports pass over it. aiokafka
(0.14) knows `OSError` there: https://github.com/aio-libs/aiokafka/issues/1038. Whichever of its tasks writes then would end, and with the
one that fetches metadata every wait for them, for as long as the process lives.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

Send = Callable[..., Any]


def lose_closed_connections() -> None:
    """From now on a connection of aiokafka whose transport is closed is a lost one to whoever sends. May be called again."""
    for name in ("send", "_send_sasl_token"):
        send = getattr(AIOKafkaConnection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _losing(send))


def _losing(send: Send) -> Send:
    @wraps(send)
    def sent(connection: Any, *args: Any, **options: Any) -> Any:
        try:
            return send(connection, *args, **options)
        except RuntimeError as error:
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} closed: {error}") from error

    return sent
