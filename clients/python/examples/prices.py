"""Prices of two tokens, from 0.01 up.

python prices.py [COUNT]     DEFISTREAM_API_KEY must be set, DEFISTREAM_URL may be
"""

import asyncio
import os
import sys

from defistream import Client

URL = os.environ.get("DEFISTREAM_URL", "ws://127.0.0.1:8080/v2/realtime")


async def main(count: int) -> None:
    async with Client(URL, os.environ["DEFISTREAM_API_KEY"]) as client:
        async for update in client.subscribe("prices", token_ids=["ethereum", "litecoin"], min_value=0.01):
            print(update.token_id, update.value, update.data)
            count -= 1
            if count == 0:
                break


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else -1))
