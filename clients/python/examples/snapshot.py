"""A table that is complete from the start: last values first, then what changes.

python snapshot.py [COUNT]     DEFISTREAM_API_KEY must be set, DEFISTREAM_URL may be
"""

import asyncio
import os
import sys

from defistream import Client

URL = os.environ.get("DEFISTREAM_URL", "ws://127.0.0.1:8080/v2/realtime")


async def main(count: int) -> None:
    async with (
        Client(URL, os.environ["DEFISTREAM_API_KEY"]) as client,
        client.subscribe("tvl", min_value=1_000_000, snapshot=True) as tvl,
    ):
        table = {update.entity: update.value for update in await tvl.catch_up()}
        print(len(table), "protocols", table)
        async for update in tvl:
            table[update.entity] = update.value
            print(update.entity, "is now", update.value)
            count -= 1
            if count == 0:
                break


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else -1))
