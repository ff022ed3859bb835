"""A display: draws once a second what is newest, and lets go of what it had no time for.

python latest.py [COUNT]     DEFISTREAM_API_KEY must be set, DEFISTREAM_URL may be
"""

import asyncio
import os
import sys
from contextlib import suppress

from defistream import Client, Subscription

URL = os.environ.get("DEFISTREAM_URL", "ws://127.0.0.1:8080/v2/realtime")


async def collect(subscription: Subscription, newest: dict[str | None, float | None]) -> None:
    # Cancelling a step of the iteration loses no update.
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            async for update in subscription:
                newest[update.entity] = update.value


async def main(count: int) -> None:
    newest: dict[str | None, float | None] = {}
    async with (
        Client(URL, os.environ["DEFISTREAM_API_KEY"], buffer=100, overflow="drop_oldest") as client,
        client.subscribe("prices") as prices,
    ):
        while count != 0:
            await collect(prices, newest)
            print(f"{len(newest)} tokens, {prices.dropped} updates dropped", newest)
            count -= 1


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else -1))
