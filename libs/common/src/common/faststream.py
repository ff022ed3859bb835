"""FastStream at the edge: a broker made from the settings, for the control topics."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from aiokafka.helpers import create_ssl_context
from faststream.kafka import KafkaBroker
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from common.endings import end_within
from common.kafka import GROUP_REQUEST_TIMEOUT_MS
from common.logs import get_logger
from common.settings import CommonSettings

__all__ = ["KafkaBroker", "new_broker", "start_broker", "stop_broker", "subscriber_options"]

log = get_logger("faststream")

GRACEFUL_SECONDS = 5.0
"""How long a stopping broker waits for the batch in hand."""
_STOP_SECONDS = 8.0
"""For that batch and for leaving the group."""


def new_broker(settings: CommonSettings, *, client: str) -> KafkaBroker:
    """A broker that only consumes: what is produced goes through `common.kafka`, which knows whether to be idempotent.

    Its handlers get what their decoder returns, unchecked: decoders validate record by record, so that one bad record
    spoils no batch.
    """
    return KafkaBroker(
        settings.kafka_bootstrap_servers.split(","),
        client_id=client,
        request_timeout_ms=GROUP_REQUEST_TIMEOUT_MS,
        consumer_only=True,
        apply_types=False,
        graceful_timeout=GRACEFUL_SECONDS,
        security=_security(settings),
        logger=_ErrorLog(),
    )


async def start_broker(broker: KafkaBroker) -> KafkaBroker:
    """The broker, once its subscribers are members of their groups. Raises `KafkaError` when Kafka is away; make another one then."""
    try:
        await broker.start()
    except BaseException:
        await stop_broker(broker)
        raise
    return broker


async def stop_broker(broker: KafkaBroker) -> None:
    """Returns within seconds: aiokafka waits without end for its coordination task, which may wait for Kafka."""
    await end_within(_STOP_SECONDS, "consuming", broker.stop())


def subscriber_options(settings: CommonSettings) -> dict[str, Any]:
    """What each subscriber is given besides its topic, group and acknowledgement policy."""
    return {
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": round(settings.kafka_fetch_max_wait.total_seconds() * 1000),
        "heartbeat_interval_ms": 500,
        "session_timeout_ms": 6000,
    }


class _ErrorLog:
    """FastStream's own log lines: one a record at INFO, advice at WARNING; only errors are of use to an operator."""

    def log(self, level: int, msg: Any, /, *, exc_info: Any = None, extra: Mapping[str, Any] | None = None) -> None:
        if level >= logging.ERROR:
            log.error("consuming_failed", reason=str(exc_info or msg), topic=(extra or {}).get("topic"))


def _security(settings: CommonSettings) -> BaseSecurity:
    tls = settings.kafka_security_protocol.endswith("SSL")
    context = create_ssl_context(cafile=settings.kafka_ssl_cafile) if tls else None
    if not settings.kafka_security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=tls)
    mechanism = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    password = settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else ""
    return mechanism[settings.kafka_sasl_mechanism](
        settings.kafka_sasl_username or "", password, ssl_context=context, use_ssl=tls
    )
