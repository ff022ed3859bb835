"""Dead letters: records that cannot be routed, set aside with the reason, for people to read."""

from __future__ import annotations

import asyncio

from common import metrics
from common.logs import get_logger
from router.outgoing import Publisher
from router.routing import DeadLetter

log = get_logger("dead_letters")

MAX_VALUE_BYTES = 900_000
_MAX_REASON = 500


async def send_dead_letter(
    publisher: Publisher, topic: str, letter: DeadLetter, *, label: str
) -> asyncio.Future[object]:
    """Hand a record over; the future is the broker's acknowledgement. `label` is the channel for the count.

    Headers: reason, topic, partition and offset of the source; `truncated` with the full length where the value is cut to fit a record.
    """
    metrics.router_dead_letters_total.labels(label).inc()
    log.debug(
        "dead_letter", topic=letter.source, partition=letter.partition, offset=letter.offset, reason=letter.reason
    )
    value = letter.value
    headers = [
        ("reason", letter.reason[:_MAX_REASON].encode("utf-8", "replace")),
        ("topic", letter.source.encode()),
        ("partition", str(letter.partition).encode()),
        ("offset", str(letter.offset).encode()),
    ]
    if value is not None and len(value) > MAX_VALUE_BYTES:
        headers.append(("truncated", str(len(value)).encode()))
        value = value[:MAX_VALUE_BYTES]
    # A record needs a key or a value: an empty one stands for neither.
    key = letter.key if letter.key is not None or value is not None else b""
    return await publisher.send(topic, value, key, headers=headers)
