"""Carries out what the session decides: connects, reads, writes, waits. One task for each client, and one more while connected."""

from __future__ import annotations

import asyncio
import itertools
import ssl as tls
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from defistream import events
from defistream.close_codes import CloseCode
from defistream.connection import Closed, Connection, NotConnected, open_connection
from defistream.cursors import Cursor
from defistream.effects import (
    Announce,
    Begin,
    Deliver,
    Effect,
    Effects,
    Finish,
    Hold,
    Ready,
    Reconnect,
    Send,
    Stop,
    Tell,
)
from defistream.errors import ConnectionClosed, ConnectionFailed, DefistreamError, SubscriptionTimeout
from defistream.filters import Filters
from defistream.inbox import Inbox, Overflow
from defistream.session import Session


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscription asks for."""

    channel: str
    filters: Filters
    since: Cursor | None = None
    snapshot: bool = False


class Driver:
    """The running part of a client. `run` is its one task; everything else is called from the same event loop."""

    def __init__(
        self,
        url: str,
        session: Session,
        *,
        ssl: tls.SSLContext | None,
        buffer: int,
        overflow: Overflow,
        on_event: Callable[[events.Event], object] | None,
    ) -> None:
        self._url = url
        self._session = session
        self._ssl = ssl
        self._buffer = buffer
        self._overflow = overflow
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._inboxes: dict[int, Inbox] = {}
        self._held: dict[int, tuple[asyncio.TimerHandle, DefistreamError]] = {}
        self._full: set[Inbox] = set()
        self._opening: set[int] = set()
        self._frames = 0
        # Bounded by the subscriptions: one command each, and a new one waits for the answer to it.
        self._outgoing: deque[str] = deque()
        self._has_outgoing = asyncio.Event()
        self._settled = asyncio.Event()
        self._pause = 0.0
        self._trouble = "no answer"
        self._error: DefistreamError | None = None

    async def run(self) -> None:
        """Until the session stops, or until cancelled: closes the connection, and ends all subscriptions."""
        failure: DefistreamError | None = ConnectionClosed(CloseCode.ABNORMAL, "the client failed")
        try:
            while self._error is None:
                await self._attempt()
                if self._error is None:
                    await asyncio.sleep(self._pause)
        except asyncio.CancelledError:
            failure = None
            raise
        finally:
            for number in tuple(self._inboxes):
                self._finish(number, failure)
            self._perform(self._session.close())

    async def wait_ready(self, timeout: float) -> None:  # noqa: ASYNC109 - the caller's limit, told in the error
        """Until authenticated for the first time. Raises what stopped the session, `ConnectionFailed` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            raise ConnectionFailed(self._url, f"{self._trouble} (gave up after {timeout:g} s)") from None
        if self._error is not None:
            raise self._error

    async def open(self, wanted: Wanted, limit: float) -> tuple[int, Inbox]:
        """A subscription that is in effect: its number and inbox. Nothing is left behind by an error or a cancellation."""
        number = next(self._numbers)
        past = wanted.since is not None or wanted.snapshot
        inbox = self._inboxes[number] = Inbox(
            limit=self._buffer, overflow=self._overflow, since=wanted.since, past=past
        )
        self._opening.add(number)
        self._let_read()
        confirmed = False
        try:
            self._perform(
                self._session.subscribe(number, wanted.channel, wanted.filters, wanted.since, snapshot=wanted.snapshot)
            )
            await self._wait_begun(number, inbox, limit)
            if inbox.room is None:
                raise inbox.error or ConnectionClosed(CloseCode.NORMAL, "the client is closed")
            confirmed = True
        except TimeoutError:
            raise self._refusal_of(number) or SubscriptionTimeout(wanted.channel, limit) from None
        finally:
            self._opening.discard(number)
            if not confirmed:
                self.leave(number)
        return number, inbox

    async def _wait_begun(self, number: int, inbox: Inbox, limit: float) -> None:
        """`limit` seconds for the answer. The time in which it waits for the replay of another one does not count, while that goes on."""
        while True:
            frames = self._frames
            try:
                async with asyncio.timeout(limit):
                    await inbox.begun.wait()
            except TimeoutError:
                if self._session.is_in_turn(number) or self._frames == frames:
                    raise
                continue
            return

    def leave(self, number: int) -> None:
        """End a subscription. Idempotent."""
        self._finish(number, None)
        self._perform(self._session.unsubscribe(number))
        self._let_read()

    def leave_soon(self, number: int) -> None:
        """As `leave`, from any thread and also when the event loop is gone: for finalizers."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.leave, number)

    async def _attempt(self) -> None:
        try:
            async with open_connection(self._url, self._ssl) as connection:
                await self._converse(connection)
        except NotConnected as failed:
            self._perform(self._session.failed(failed.error, retryable=failed.retryable))

    async def _converse(self, connection: Connection) -> None:
        self._outgoing.clear()
        self._perform(self._session.connected())
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write(connection))
            closed = await self._read(connection)
            writer.cancel()
        self._perform(self._session.disconnected(closed.code, closed.reason))

    async def _read(self, connection: Connection) -> Closed:
        while True:
            frame = await connection.receive(self._session.silence_limit)
            if isinstance(frame, Closed):
                return frame
            self._frames += 1
            self._perform(self._session.received(frame))
            if self._full:
                await self._wait_for_space()

    async def _wait_for_space(self) -> None:
        """While a subscription waits for its answer reading goes on, or a full inbox would keep that answer from it."""
        while self._full and not any(map(self._session.is_in_turn, self._opening)):
            inbox = next(iter(self._full))
            if not inbox.is_full:
                self._full.discard(inbox)
                continue
            await inbox.wait_for_taking()

    def _let_read(self) -> None:
        for inbox in self._full:
            inbox.wake()

    async def _write(self, connection: Connection) -> None:
        while True:
            while self._outgoing:
                await connection.send(self._outgoing.popleft())
            self._has_outgoing.clear()
            await self._has_outgoing.wait()

    def _perform(self, effects: Effects) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Deliver() | Tell() | Begin() | Hold() | Finish():
                self._do_for_subscription(effect)
            case Send(text=text):
                self._outgoing.append(text)
                self._has_outgoing.set()
            case Announce(event=event):
                self._announce(event)
            case Ready():
                self._settled.set()
            case Reconnect(after=after):
                self._pause = after
            case Stop(error=error):
                self._error = error
                self._settled.set()
            case _:
                assert_never(effect)

    def _do_for_subscription(self, effect: Deliver | Tell | Begin | Hold | Finish) -> None:
        inbox = self._inboxes.get(effect.subscription)
        if inbox is None:
            return
        match effect:
            case Deliver(update=update, place=place):
                inbox.put(update, place)
                if inbox.is_full:
                    self._full.add(inbox)
            case Tell(cursor=cursor, caught_up=caught_up):
                inbox.tell(cursor, caught_up=caught_up)
            case Begin(room=room):
                self._release(effect.subscription)
                inbox.begin(room)
            case Hold(subscription=number, after=after, error=error):
                self._release(number)
                self._held[number] = (self._loop.call_later(after, self._retry, number), error)
            case Finish(subscription=number, error=error):
                self._finish(number, error)
            case _:
                assert_never(effect)

    def _retry(self, number: int) -> None:
        self._perform(self._session.retry(number))

    def _release(self, number: int) -> None:
        timer, _ = self._held.pop(number, (None, None))
        if timer is not None:
            timer.cancel()

    def _refusal_of(self, number: int) -> DefistreamError | None:
        return self._held[number][1] if number in self._held else None

    def _finish(self, number: int, error: DefistreamError | None) -> None:
        self._release(number)
        inbox = self._inboxes.pop(number, None)
        if inbox is not None:
            inbox.finish(error)

    def _announce(self, event: events.Event) -> None:
        if isinstance(event, events.Reconnecting):
            self._trouble = event.reason or f"closed with {event.code}"
        if self._on_event is not None:
            # By the event loop, so that an error of the application's function is reported there and ends nothing here.
            self._loop.call_soon(self._on_event, event)
