"""Where key records are found. A store answers for many hashes at once and never raises: what it cannot tell, it says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from auth.keys import KeyRecord
from common.identifiers import KeyHash


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """The store could not tell. `kind` is a metric's label, `reason` is told to clients and must hold no secret."""

    kind: str
    reason: str


Found = KeyRecord | NotAnswered | None
"""`None`: there is no such key."""


class KeyStore(Protocol):
    async def find(self, hashes: Collection[KeyHash]) -> Mapping[KeyHash, Found]:
        """What is known of each of these distinct hashes, within the store's own time limit. Safe to cancel."""
        ...

    async def aclose(self) -> None:
        """Give back what the store opened itself."""
        ...
