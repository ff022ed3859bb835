"""Several subscriptions on one connection, each with its own task.

python several.py [COUNT]     DEFISTREAM_API_KEY must be set, DEFISTREAM_URL may be
"""

import asyncio
import os
import sys

from defistream import Client, Subscription

URL = os.environ.get("DEFISTREAM_URL", "ws://127.0.0.1:8080/v2/realtime")


async def show(title: str, subscription: Subscription, count: int) -> None:
    # As a context manager a subscription is confirmed, or refused, before the loop begins.
    async with subscription:
        print(title, "from", subscription.cursor)
        async for update in subscription:
            print(title, update.entity, update.value, *update.chains)
            count -= 1
            if count == 0:
                break


async def main(count: int) -> None:
    async with Client(URL, os.environ["DEFISTREAM_API_KEY"]) as client, asyncio.TaskGroup() as group:
        group.create_task(show("price", client.subscribe("prices"), count))
        group.create_task(show("TVL on Base", client.subscribe("tvl", chains=["base"]), count))
        group.create_task(show("TVL from 1 bn", client.subscribe("tvl", min_value=1e9), count))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else -1))
