"""Entries for the tests of what partitions had before."""

from __future__ import annotations

import json
from typing import Any

from common.channels import Channel
from common.updates import decode_update
from router.recent import Entry


def entry(offset: int, key: str = "token", *, size: int = 0, **fields: Any) -> Entry:
    """A price's update at an offset."""
    body = {"type": "price_update", "tokenId": key, "data": "x" * size, **fields}
    return Entry(offset, 1000 + offset, key.encode(), decode_update(json.dumps(body).encode(), channel=Channel.PRICES))
