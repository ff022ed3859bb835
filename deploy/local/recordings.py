"""The recorded market data of data/ as an endless stream of records, made to look as if it happened now."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from common.channels import Channel
from deploy.local.settings import ROOT


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of data/, and how many of its updates a second are pleasant to watch."""

    channel: Channel
    file: Path
    entity: str
    per_second: float


RECORDINGS = (
    # Eight tokens take turns, so each moves about once a second.
    Recording(Channel.PRICES, ROOT / "data" / "price_updates.ndjson.gz", "tokenId", 8),
    Recording(Channel.TVL, ROOT / "data" / "tvl_updates.ndjson.gz", "protocolId", 4),
)


def lines(recording: Recording) -> Iterator[bytes]:
    """The recorded updates in order, from the start again after the last; only one line is held in memory."""
    while True:
        with gzip.open(recording.file, "rb") as stored:
            yield from stored


def record(recording: Recording, line: bytes, now_ms: int) -> tuple[bytes, bytes]:
    """Key (the entity) and value of the Kafka record, with `now_ms` as its time."""
    update = orjson.loads(line)
    update["timestamp"] = now_ms
    return str(update[recording.entity]).encode(), orjson.dumps(update)
