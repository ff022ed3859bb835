"""Goes on where it stopped, also after a restart: saves its cursor behind each update that it has dealt with.

python resume.py [COUNT]     DEFISTREAM_API_KEY must be set, DEFISTREAM_URL and CURSOR_FILE may be
"""

import asyncio
import os
import sys
from pathlib import Path

from defistream import Client, CursorExpired

URL = os.environ.get("DEFISTREAM_URL", "ws://127.0.0.1:8080/v2/realtime")
SAVED = Path(os.environ.get("CURSOR_FILE", "liquidations.cursor"))


def load() -> str | None:
    return SAVED.read_text() if SAVED.exists() else None


def save(cursor: str | None) -> None:
    if cursor is not None:
        # Written beside and renamed: a crash in between leaves the one before.
        new = SAVED.with_suffix(".new")
        new.write_text(cursor)
        new.replace(SAVED)


async def follow(since: str | None, count: int) -> None:
    async with (
        Client(URL, os.environ["DEFISTREAM_API_KEY"]) as client,
        client.subscribe("liquidations", since=since) as liquidations,
    ):
        save(liquidations.cursor)
        async for update in liquidations:
            print(update.id, update.protocol_id, update.value)
            save(liquidations.cursor)
            count -= 1
            if count == 0:
                break


async def main(count: int) -> None:
    try:
        await follow(load(), count)
    except CursorExpired as error:
        print("what came right after the cursor is no longer kept; going on from the oldest that is")
        await follow(error.oldest, count)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else -1))
