"""What `Client.subscribe` gives: an async iterator of updates."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Self

from defistream.close_codes import CloseCode
from defistream.driver import Driver, Wanted
from defistream.errors import ConnectionClosed, InvalidArgument
from defistream.inbox import Inbox
from defistream.updates import Update


class Subscription:
    """Updates of one channel that match one set of filters: each id once, in order per entity. For one consumer.

    Iterate over it. It starts with the first step, or on entering it as an async context manager, where a refusal is told before
    the loop. It ends on leaving that block, with its client, and when nothing refers to it any more (as after a `break` from
    `async for update in client.subscribe(...)`).

    Starting raises `SubscriptionRefused`, or `SubscriptionTimeout`. Iteration raises `SubscriptionRefused` and `ConnectionClosed`
    (`AuthenticationFailed` among them) once every update that had arrived is handed out, and ends quietly with its client.
    """

    def __init__(self, driver: Driver, wanted: Wanted, *, time_limit: float) -> None:
        self._driver = driver
        self._wanted = wanted
        self._time_limit = time_limit
        self._number: int | None = None
        self._inbox: Inbox | None = None
        self._leave: weakref.finalize[..., Subscription] | None = None
        self._closed = False

    @property
    def channel(self) -> str:
        return self._wanted.channel

    @property
    def filters(self) -> dict[str, Any]:
        """Canonical, by the wire's names."""
        return self._wanted.filters.to_json()

    @property
    def room(self) -> str | None:
        """The server's name for channel and filters; `None` until confirmed."""
        return self._inbox.room if self._inbox else None

    @property
    def cursor(self) -> str | None:
        """Where the application stands: behind every update that it was handed. Save it once the last one is dealt with.

        `None` until confirmed. Moves with each update, and with heartbeats also when nothing matches. While the client has other
        subscriptions of the same channel it moves with heartbeats only: it then may repeat, but never skips.
        """
        cursor = self._inbox.cursor if self._inbox else self._wanted.since
        return str(cursor) if cursor is not None else None

    @property
    def dropped(self) -> int:
        """Updates dropped by `overflow="drop_oldest"`."""
        return self._inbox.dropped if self._inbox else 0

    @property
    def caught_up(self) -> bool:
        """Whether all of the past that `since` or `snapshot` asked for has been handed out: what follows is live.

        `False` until it has started. Stays `True` when the client comes back after an interruption and first gets what it missed.
        """
        return self._inbox is not None and self._inbox.caught_up

    async def catch_up(self) -> list[Update]:
        """Start it, and take all of the past that `since` or `snapshot` asked for: then iterate over what follows.

        With `snapshot`, the last update of each entity. Empty where nothing was asked for. After a cancellation the next call goes
        on. Raises what iteration would, `ConnectionClosed` where the client was closed meanwhile.
        """
        try:
            return await (await self._start()).catch_up()
        except StopAsyncIteration:
            raise ConnectionClosed(CloseCode.NORMAL, "the client is closed") from None

    async def aclose(self) -> None:
        """Unsubscribe. Idempotent. What waits can still be taken."""
        self._closed = True
        if self._leave is not None:
            self._leave.detach()
            self._leave = None
        if self._number is not None:
            self._driver.leave(self._number)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        """Safe to cancel: an update that was not returned is returned by the next step."""
        if self._closed and self._inbox is None:
            raise StopAsyncIteration
        inbox = await self._start()
        return await inbox.get()

    async def _start(self) -> Inbox:
        if self._inbox is not None:
            return self._inbox
        if self._closed:
            raise InvalidArgument("the subscription is closed; make a new one")
        self._number, self._inbox = await self._driver.open(self._wanted, self._time_limit)
        self._leave = weakref.finalize(self, self._driver.leave_soon, self._number)
        self._leave.atexit = False
        return self._inbox
