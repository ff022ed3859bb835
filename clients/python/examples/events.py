"""What happens beside updates, and what can go wrong.

python events.py [COUNT]     DEFISTREAM_API_KEY must be set, DEFISTREAM_URL may be
"""

import asyncio
import os
import sys

from defistream import AuthenticationFailed, Client, ConnectionClosed, ConnectionFailed, SubscriptionRefused, events

URL = os.environ.get("DEFISTREAM_URL", "ws://127.0.0.1:8080/v2/realtime")


def tell(event: events.Event) -> None:
    match event:
        case events.Reconnecting(after=after, code=code, reason=reason):
            print(f"connection lost ({code} {reason}), next attempt in {after:.1f} s")
        case events.Gap(channel=channel, since=since, cursor=cursor):
            print(f"{channel}: what came between {since} and {cursor} was not sent")
        case events.Notice(kind=kind, message=message):
            print(f"the server warns: {kind}, {message}")
        case events.Broadcast(data=data):
            print("an operator says:", data)
        case _:
            print(event)


async def main(count: int) -> str:
    try:
        async with Client(URL, os.environ["DEFISTREAM_API_KEY"], on_event=tell) as client:
            async for update in client.subscribe("tvl"):
                print(update.entity, update.value)
                count -= 1
                if count == 0:
                    break
    except AuthenticationFailed as error:
        return f"the key is wrong or revoked: {error.message}"
    except SubscriptionRefused as error:
        return f"refused: {error.code}, {error.field}: {error.message}"
    except ConnectionClosed as error:
        return f"closed for good, with {error.code}"
    except ConnectionFailed as error:
        return f"no server: {error.reason}"
    return "done"


if __name__ == "__main__":
    print(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else -1)))
