"""Key records in a dict: for tests, and for trying things out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from auth.key_stores import Found, NotAnswered
from auth.keys import KeyRecord
from common.identifiers import KeyHash


class MemoryKeyStore:
    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self.records = {record.key_hash: record for record in records}
        self.away: NotAnswered | None = None
        """Set, it is the answer to everything, as of a store that is down."""
        self.asked: list[KeyHash] = []

    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Found]:
        self.asked += hashes
        return {key_hash: self.away or self.records.get(key_hash) for key_hash in hashes}

    async def aclose(self) -> None:
        pass
