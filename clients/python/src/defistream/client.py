"""The client: one connection that comes back, and subscriptions on it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as tls
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, get_args

from defistream.channels import STATE_CHANNELS, parse_channel
from defistream.cursors import parse_cursor
from defistream.driver import Driver, Wanted
from defistream.errors import InvalidArgument
from defistream.events import Event
from defistream.filters import make_filters
from defistream.inbox import Overflow
from defistream.session import Session
from defistream.subscription import Subscription


class Client:
    """A connection to a defistream gateway, as an async context manager.

        async with Client("wss://example.org/v2/realtime", api_key) as client:
            async for update in client.subscribe("prices", token_ids=["bitcoin"], min_value=60_000):
                print(update.entity, update.value)

    Entering waits until the server has authenticated the key. It raises `AuthenticationFailed` for a refused one, `ConnectionFailed`
    where there is no server for `connect_timeout` seconds. After that the client connects again by itself, with full jitter, after
    every close that allows it, and subscribes again. Leaving closes the connection, ends all subscriptions and leaves no task.

    For one event loop; not for several threads.
    """

    def __init__(  # noqa: PLR0913 - options, by name only
        self,
        url: str,
        api_key: str,
        *,
        reconnect: bool = True,
        resume: bool = True,
        buffer: int = 1000,
        overflow: Overflow = "wait",
        on_event: Callable[[Event], object] | None = None,
        ssl: tls.SSLContext | None = None,
        connect_timeout: float = 30.0,
        subscribe_timeout: float = 10.0,
    ) -> None:
        """Options; raises `InvalidArgument` for one that cannot be meant.

        - `reconnect`: come back after a close that allows it, and ask again for what was refused for now.
        - `resume`: come back with the cursor, so that the server first sends what was missed; without it an interruption leaves a
          gap, which `on_event` is told (`events.Gap`).
        - `buffer`: updates of one subscription that may wait for the application, at least 1.
        - `overflow`: what a full buffer does: `"wait"` stops reading (of all subscriptions) until one is taken, and the client drops
          nothing; `"drop_oldest"` drops and counts.
        - `on_event`: called in the event loop with what happens beside updates, see `defistream.events`.
        - `ssl`: for `wss` servers whose certificate the system does not trust.
        - `connect_timeout`: seconds for entering, over all attempts. `subscribe_timeout`: seconds for a subscription's answer.
        """
        if not url.startswith(("ws://", "wss://")):
            raise InvalidArgument(f"the URL must begin with ws:// or wss://, not {url!r}")
        if not api_key:
            raise InvalidArgument("the API key is empty")
        if buffer < 1:
            raise InvalidArgument(f"buffer must be at least 1, not {buffer}")
        if overflow not in get_args(Overflow):
            raise InvalidArgument(f"overflow must be one of {get_args(Overflow)}, not {overflow!r}")
        self.url = url
        self._api_key = api_key
        self._reconnect = reconnect
        self._resume = resume
        self._buffer = buffer
        self._overflow = overflow
        self._on_event = on_event
        self._ssl = ssl
        self._connect_timeout = connect_timeout
        self._subscribe_timeout = subscribe_timeout
        self._driver: Driver | None = None
        self._task: asyncio.Task[None] | None = None

    def subscribe(  # noqa: PLR0913 - the six filters of the protocol
        self,
        channel: str,
        *,
        token_ids: Iterable[str] | None = None,
        protocol_ids: Iterable[str] | None = None,
        chains: Iterable[str] | None = None,
        user_id: str | None = None,
        min_value: float | None = None,
        max_value: float | None = None,
        since: str | None = None,
        snapshot: bool = False,
    ) -> Subscription:
        """Updates of a channel that match all the filters given; `protocol:<id>` is short for `protocols` with that id.

        - `since`: a saved `Subscription.cursor` to go on from; needs `resume=True`.
        - `snapshot`: first the last update of each entity whose last update the filters select, of `prices`, `tvl` and `protocols`
          (`Subscription.catch_up` takes them apart). With `since`, and after an interruption, what was missed comes instead, and last
          values only where that is no longer kept.

        Any number of subscriptions may be open at once. Nothing is sent before the first step of the iteration. Raises
        `InvalidArgument`, naming what is wrong.
        """
        if self._driver is None:
            raise InvalidArgument("the client is not open; use it in an `async with` block")
        if since is not None and not self._resume:
            raise InvalidArgument("since needs a client with resume=True")
        name, protocol = parse_channel(channel)
        if protocol is not None and protocol_ids is not None:
            raise InvalidArgument("give either protocol:<id> or protocol_ids")
        filters = make_filters(
            token_ids=token_ids,
            protocol_ids=[protocol] if protocol is not None else protocol_ids,
            chains=chains,
            user_id=user_id,
            min_value=min_value,
            max_value=max_value,
        )
        if snapshot and name not in STATE_CHANNELS:
            raise InvalidArgument(f"only {', '.join(STATE_CHANNELS)} have snapshots; {name} carries events")
        cursor = parse_cursor(since) if since is not None else None
        wanted = Wanted(name, filters, cursor, snapshot)
        return Subscription(self._driver, wanted, time_limit=self._subscribe_timeout)

    async def aclose(self) -> None:
        """Close the connection, end all subscriptions. Idempotent; safe to cancel: the closing goes on to its end all the same."""
        if self._task is None:
            return
        self._task.cancel()
        # Not awaited directly: that would take a cancellation of the caller for the task's own.
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def __aenter__(self) -> Self:
        if self._driver is not None:
            raise InvalidArgument("a client is for one `async with` block")
        session = Session(self._api_key, resume=self._resume, reconnect=self._reconnect)
        self._driver = Driver(
            self.url,
            session,
            ssl=self._ssl,
            buffer=self._buffer,
            overflow=self._overflow,
            on_event=self._on_event,
        )
        async with contextlib.AsyncExitStack() as stack:
            self._task = asyncio.create_task(self._driver.run(), name="defistream")
            stack.push_async_callback(self.aclose)
            await self._driver.wait_ready(self._connect_timeout)
            stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
