"""What is sent: one size of update for everybody, so that figures compare."""

from __future__ import annotations

FRAME_BYTES = 250
"""An update's frame, its header of four bytes included: about what a price with symbol and times takes."""

STAMP = b'"t":'
"""Before the nanoseconds since 1970 at which an update was written."""


def token_of(room: int) -> str:
    return f"bench-{room}"


def update_body(token: str, *, size: int = FRAME_BYTES, stamp: int | None = None) -> bytes:
    """An update as JSON, so long that its frame has `size` bytes. `stamp`: nanoseconds since 1970, for `"t"`."""
    when = f'"t":{stamp},' if stamp is not None else ""
    head = f'{{"type":"price_update","tokenId":"{token}","chain":"ethereum","value":67012.5,"data":{{{when}"pad":"'
    return (head + "x" * (size - 4 - len(head) - 3) + '"}}').encode()
