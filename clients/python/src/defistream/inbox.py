"""Updates that wait for the application: one bounded inbox a subscription."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum, auto
from typing import Literal

from defistream.cursors import Cursor, Standing
from defistream.errors import DefistreamError
from defistream.updates import Update

Overflow = Literal["wait", "drop_oldest"]
"""What happens when an inbox is full.

`wait`: nothing more is read from the connection until the application takes an update. The client itself loses nothing; if it stays
slow, the server conflates, or closes with 4003, and the client comes back. `drop_oldest`: the oldest waiting update is dropped and
counted: for displays that want the present only. What `since` or `snapshot` asked for is not dropped: until it is taken, this waits too.
"""


class _Mark(Enum):
    CAUGHT_UP = auto()


_Entry = tuple[Update, tuple[int, int] | None] | Cursor | _Mark


class Inbox:
    """Updates in order, and between them the cursors that hold once all before was taken. For one consumer."""

    def __init__(self, *, limit: int, overflow: Overflow, since: Cursor | None = None, past: bool = False) -> None:
        """`past`: updates from before its beginning come first."""
        self.caught_up = not past
        self._collected: list[Update] = []
        self._entries: deque[_Entry] = deque()
        self._limit = limit
        self._overflow = overflow
        self._standing = Standing(since)
        self._ended = False
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self.begun = asyncio.Event()
        self.room: str | None = None
        self.error: DefistreamError | None = None
        self.dropped = 0

    @property
    def cursor(self) -> Cursor | None:
        """What the application has taken."""
        return self._standing.cursor

    @property
    def is_full(self) -> bool:
        """Whether reading should wait."""
        return not self._drops and self._waiting >= self._limit and not self._ended

    @property
    def _drops(self) -> bool:
        return self._overflow == "drop_oldest" and self.caught_up

    def put(self, update: Update, place: tuple[int, int] | None) -> None:
        if self._drops and self._waiting >= self._limit:
            self._next_update()
            self.dropped += 1
        self._entries.append((update, place))
        self._waiting += 1
        self._arrived.set()

    def tell(self, cursor: Cursor, *, caught_up: bool = False) -> None:
        self._tell(cursor)
        if caught_up and not self.caught_up:
            self._entries.append(_Mark.CAUGHT_UP)
            if not self._waiting:
                self._take_marks()
            self._arrived.set()

    def _tell(self, cursor: Cursor) -> None:
        if not self._entries:
            self._standing.tell(cursor)
            return
        last = self._entries[-1]
        if isinstance(last, Cursor):
            self._entries[-1] = last.merged(cursor)
        else:
            self._entries.append(cursor)

    def begin(self, room: str) -> None:
        self.room = room
        self.begun.set()

    def finish(self, error: DefistreamError | None) -> None:
        """Nothing more comes. What waits can still be taken; then `error` is raised, or iteration ends."""
        self.error = error
        self._ended = True
        for event in (self.begun, self._arrived, self._taken):
            event.set()

    async def get(self) -> Update:
        """The next update. Safe to cancel: nothing is lost. Raises what `finish` gave, `StopAsyncIteration` for nothing."""
        while True:
            update = self._next_update()
            if update is not None:
                self._taken.set()
                return update
            await self._wait_for_more()

    async def catch_up(self) -> list[Update]:
        """All updates of the past that were not taken yet, once it is complete. After a cancellation the next call goes on."""
        while True:
            while not self.caught_up and (update := self._next_update()) is not None:
                self._taken.set()
                self._collected.append(update)
            if self.caught_up:
                collected, self._collected = self._collected, []
                return collected
            await self._wait_for_more()

    async def wait_for_taking(self) -> None:
        """Until the application took an update, the inbox ended, or `wake` was called."""
        self._taken.clear()
        await self._taken.wait()

    def wake(self) -> None:
        self._taken.set()

    def _next_update(self) -> Update | None:
        """Take entries up to and with the next update, and move the cursor along."""
        self._take_marks()
        if not self._entries:
            return None
        entry = self._entries.popleft()
        assert isinstance(entry, tuple)
        self._waiting -= 1
        update, place = entry
        if place is not None:
            self._standing.move(*place)
        self._take_marks()
        return update

    def _take_marks(self) -> None:
        """What lies between updates holds as soon as all before it was taken."""
        while self._entries and not isinstance(self._entries[0], tuple):
            entry = self._entries.popleft()
            if isinstance(entry, Cursor):
                self._standing.tell(entry)
            else:
                self.caught_up = True

    async def _wait_for_more(self) -> None:
        if self.error is not None:
            # A new traceback each time: the same error may be raised to several who wait.
            raise self.error.with_traceback(None)
        if self._ended:
            raise StopAsyncIteration
        self._arrived.clear()
        await self._arrived.wait()
