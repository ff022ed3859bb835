"""One update, as an application gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Update:
    """What a producer published, with its channel and id. Equal and hashable by channel and id; do not change `raw`.

    `raw` is the whole JSON object; the properties read the documented fields from it, and give `None` (or nothing) where it has
    none, or one of another type.
    """

    channel: str
    id: str
    """Source partition and offset, `"3:18231"`: unique in a channel while its topic lives."""
    raw: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def type(self) -> str:
        return str(self.raw.get("type", ""))

    @property
    def token_id(self) -> str | None:
        return self._text("tokenId")

    @property
    def protocol_id(self) -> str | None:
        return self._text("protocolId")

    @property
    def user_id(self) -> str | None:
        """Set for a private update: the only user who gets it."""
        return self._text("userId")

    @property
    def entity(self) -> str | None:
        """What the update is about: updates of one entity come in order."""
        by_protocol = self.channel in ("tvl", "protocols")
        return (self.protocol_id if by_protocol else self.token_id) or self.protocol_id or self.token_id or self.user_id

    @property
    def chains(self) -> tuple[str, ...]:
        """`chain` and `chains` of the producer together, each once."""
        return tuple(dict.fromkeys((*_strings(self.raw.get("chain")), *_strings(self.raw.get("chains")))))

    @property
    def value(self) -> float | None:
        """What `min_value` and `max_value` compare."""
        value = self.raw.get("value")
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def data(self) -> Any:
        """The producer's payload, any JSON, unchanged."""
        return self.raw.get("data")

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since 1970, UTC."""
        timestamp = self.raw.get("timestamp")
        return int(timestamp) if isinstance(timestamp, int | float) and not isinstance(timestamp, bool) else None

    def _text(self, name: str) -> str | None:
        value = self.raw.get(name)
        return value if isinstance(value, str) else None


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
