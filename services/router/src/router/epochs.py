"""Stream epochs: the first part of every cursor of a channel, another one for each topic that the channel has had. Pure.

The stem comes from the topic's id, where the broker gives topics ids, so that whoever makes a topic anew, and whenever, its cursors are
others, and all routers agree on them. A suffix tells a topic whose records are others under the same id: it has lost its end.
"""

from __future__ import annotations

import random
import string
from hashlib import blake2b

_DIGITS = string.ascii_lowercase + string.digits
_STEM = 6
_SUFFIX = 4


def epoch_after(before: str | None, topic_id: bytes | None, *, is_new: bool) -> str:
    """The epoch of a topic whose channel had the epoch `before`. `is_new`: its records are others, whatever its id says."""
    stem = _stem(topic_id) if topic_id is not None else None
    if before is not None and not is_new and (stem is None or before.startswith(stem)):
        return before
    if stem is None:
        return _drawn(_STEM)
    return stem + _drawn(_SUFFIX) if is_new and before is not None and before.startswith(stem) else stem


def _stem(topic_id: bytes) -> str:
    number = int.from_bytes(blake2b(topic_id, digest_size=8).digest())
    return "".join(_DIGITS[number // len(_DIGITS) ** place % len(_DIGITS)] for place in range(_STEM))


def _drawn(length: int) -> str:
    return "".join(random.SystemRandom().choices(_DIGITS, k=length))
