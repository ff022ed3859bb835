"""`defistream tail`: subscribes, and prints updates until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TextIO

from defistream import events
from defistream.arguments import TailOptions
from defistream.bookmarks import Bookmarks
from defistream.client import Client
from defistream.errors import AuthenticationFailed, DefistreamError, SubscriptionRefused
from defistream.lines import COLOURS, PLAIN, describe, format_json, format_line
from defistream.subscription import Subscription
from defistream.updates import Update

DONE, REFUSED, INTERRUPTED = 0, 1, 130


async def tail(options: TailOptions, *, out: TextIO, status: TextIO, colour: bool) -> int:
    """The exit status. Raises `BrokenPipeError` when nobody reads `out` any more."""
    palette = COLOURS if colour else PLAIN
    printer = _Printer(options.count, out, format_json if options.json else lambda update: format_line(update, palette))
    reporter = _Reporter(options.url, status)
    try:
        bookmarks = Bookmarks(options.resume_file)
        async with _client(options, reporter) as client:
            subscriptions = {
                channel: _subscribe(client, channel, options, bookmarks.cursor(channel)) for channel in options.channels
            }
            await _print_all(subscriptions, printer, bookmarks)
    except DefistreamError as error:
        reporter.failed(error)
        return REFUSED
    return DONE


def run(options: TailOptions) -> int:
    """As `tail`, on this process's streams: Ctrl-C and a closed pipe end it without a traceback."""
    try:
        return asyncio.run(tail(options, out=sys.stdout, status=sys.stderr, colour=_wants_colour(sys.stdout)))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return DONE


class _Enough(Exception):
    """As many updates as were asked for have been printed."""


class _Printer:
    def __init__(self, count: int | None, out: TextIO, format_update: Callable[[Update], str]) -> None:
        self._left = count
        self._out = out
        self._format = format_update

    def print(self, update: Update) -> None:
        """Flushed line by line: a reader in a pipe sees each at once."""
        self._out.write(self._format(update) + "\n")
        self._out.flush()
        if self._left is not None:
            self._left -= 1

    @property
    def is_done(self) -> bool:
        return self._left == 0


class _Reporter:
    """Says on one line each what happens beside updates."""

    def __init__(self, url: str, status: TextIO) -> None:
        self._url = url
        self._status = status

    def say(self, text: str) -> None:
        self._status.write(f"defistream: {text}\n")
        self._status.flush()

    def failed(self, error: DefistreamError) -> None:
        refused = isinstance(error, AuthenticationFailed | SubscriptionRefused)
        self.say(f"refused: {error}" if refused else str(error))

    def report(self, event: events.Event) -> None:
        text = describe(event)
        if text is not None:
            self.say(text)


def _client(options: TailOptions, reporter: _Reporter) -> Client:
    reconnect, ssl = options.reconnect, options.ssl
    return Client(options.url, options.api_key, reconnect=reconnect, on_event=reporter.report, ssl=ssl)


def _subscribe(client: Client, channel: str, options: TailOptions, since: str | None) -> Subscription:
    return client.subscribe(
        channel,
        token_ids=options.tokens or None,
        protocol_ids=options.protocols or None,
        chains=options.chains or None,
        user_id=options.user,
        min_value=options.min_value,
        max_value=options.max_value,
        since=since,
        snapshot=options.snapshot,
    )


async def _print_all(subscriptions: Mapping[str, Subscription], printer: _Printer, bookmarks: Bookmarks) -> None:
    failures: list[Exception] = []
    try:
        async with asyncio.TaskGroup() as group:
            for channel, subscription in subscriptions.items():
                group.create_task(_print(subscription, printer, partial(bookmarks.keep, channel)))
    except* _Enough:
        pass
    except* (DefistreamError, BrokenPipeError) as errors:
        # One is enough: the others are the same close, seen by other subscriptions.
        failures += [error for error in errors.exceptions if isinstance(error, DefistreamError | BrokenPipeError)]
    if failures:
        raise failures[0]


async def _print(subscription: Subscription, printer: _Printer, keep: Callable[[str | None], None]) -> None:
    async with subscription:
        keep(subscription.cursor)
        async for update in subscription:
            if not printer.is_done:
                printer.print(update)
                keep(subscription.cursor)
            if printer.is_done:
                raise _Enough


def _wants_colour(out: TextIO) -> bool:
    """On a terminal, unless it cannot, or the user does not want it (https://no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
