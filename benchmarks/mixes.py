"""Rooms and updates of a realistic mix: Zipf-distributed tokens and protocols, 30 % of the filters with chains, 20 % with bounds,
5 % of these matching all values. Updates are skewed less than interest: a price is published about as often for a token that few want.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import orjson

from common.channels import Channel
from common.filters import parse_filter
from common.rooms import Room, room_of

TOKENS, PROTOCOLS = 20_000, 7000
"""About as many as CoinGecko and DefiLlama list."""
OF_INTEREST, OF_UPDATES = 0.8, 0.4
"""Exponents of Zipf's law."""
CHAINS = ("ethereum", "arbitrum", "base", "optimism", "polygon", "bsc", "avalanche", "solana")
WITH_CHAINS, WITH_BOUNDS, ALL_MATCHING, BY_PROTOCOL = 0.3, 0.2, 0.05, 0.2
_BLOCK = 4096


class Zipf:
    """Ranks from 0, drawn with a weight of 1 / (rank + 1) ** exponent."""

    def __init__(self, count: int, exponent: float, source: random.Random) -> None:
        self._ranks = range(count)
        self._weights = list(accumulate(1 / (rank + 1) ** exponent for rank in self._ranks))
        self._source = source
        self._drawn: list[int] = []

    def __call__(self) -> int:
        if not self._drawn:
            self._drawn = self._source.choices(self._ranks, cum_weights=self._weights, k=_BLOCK)
        return self._drawn.pop()


def rooms(count: int, *, seed: int = 1) -> Iterator[Room]:
    """So many different rooms of the channel of prices."""
    source = random.Random(seed)
    tokens, protocols = Zipf(TOKENS, OF_INTEREST, source), Zipf(PROTOCOLS, OF_INTEREST, source)
    seen: set[str] = set()
    while len(seen) < count:
        room = room_of(Channel.PRICES, parse_filter(_filter(source, tokens, protocols)))
        if room.id not in seen:
            seen.add(room.id)
            yield room


def _filter(source: random.Random, tokens: Zipf, protocols: Zipf) -> dict[str, object]:
    chosen: dict[str, object] = {}
    if source.random() < BY_PROTOCOL:
        chosen["protocolIds"] = sorted({f"protocol-{protocols()}" for _ in range(source.choice((1, 1, 2, 3)))})
    else:
        chosen["tokenIds"] = sorted({f"token-{tokens()}" for _ in range(source.choice((1, 1, 2, 3, 5)))})
    if source.random() < WITH_CHAINS:
        chosen["chains"] = source.sample(CHAINS, source.choice((1, 1, 2)))
    if source.random() < WITH_BOUNDS:
        lowest = 0.0 if source.random() < ALL_MATCHING else round(source.lognormvariate(5, 2), 2)
        chosen["minValue"] = lowest
        if source.random() < 0.3:
            chosen["maxValue"] = lowest + round(source.lognormvariate(5, 2), 2)
    return chosen


def updates(count: int, *, seed: int = 2) -> Sequence[bytes]:
    """JSON of updates, drawn alike."""
    source = random.Random(seed)
    tokens, protocols = Zipf(TOKENS, OF_UPDATES, source), Zipf(PROTOCOLS, OF_UPDATES, source)
    return [
        orjson.dumps(
            {
                "type": "price_update",
                "tokenId": f"token-{tokens()}",
                "protocolId": f"protocol-{protocols()}",
                "chain": source.choice(CHAINS),
                "value": round(source.lognormvariate(5, 2), 2),
                "data": {"symbol": "TKN", "pad": "x" * 60},
                "timestamp": 1_765_220_950_000,
            }
        )
        for _ in range(count)
    ]


def main() -> None:
    """`python -m benchmarks.mixes COUNT FILE`: the filters of so many rooms, one a line."""
    with Path(sys.argv[2]).open("wb") as file:
        file.writelines(room.filter.canonical() + b"\n" for room in rooms(int(sys.argv[1])))


if __name__ == "__main__":
    main()
