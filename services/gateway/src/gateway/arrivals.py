"""New sockets: taken from the kernel as they come, let in a few a turn of the event loop.

    kernel's queue -- many at once --> waiting -- a few a turn --> HTTP -- the requests of a few a turn (`gateway.server`) --> WebSocket

libuv takes one socket a turn: under ten thousand at once the kernel's queue overflows, and who is dropped there tries again after seconds.
And were all that wait served at once, updates to sockets that are open would wait behind their handshakes (`benchmarks/connect_storm.py`).
Who asks for health or metrics is let in before all others: it would take a gateway that is busy for one that is dead.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from common.health import asks_for_health
from common.logs import describe, get_logger
from gateway.turns import Turns

log = get_logger("arrivals")

_TAKEN_A_TURN = 64
_LET_IN_A_TURN = 5
_PAUSE_SECONDS = 0.2
_LOOK_BYTES, _LOOK_SECONDS = 16, 0.1


class Arrivals:
    """`factory` makes the protocol of one socket. To be made with the event loop running."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._listeners: list[socket.socket] = []
        self._waiting = Turns(_LET_IN_A_TURN, self._let_in)
        self._opening: set[asyncio.Task[None]] = set()
        self._silent: list[socket.socket] = []
        """Taken since the last look, and without a word then."""

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Take what comes at these sockets, which listen already and do not block."""
        self._listeners += listeners
        for listener in listeners:
            self._loop.add_reader(listener, self._take, listener)

    def close(self) -> None:
        """Take no more; who waits is turned away without a word. The listeners are closed too."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for waiting in self._waiting.drop():
            waiting.close()

    def _take(self, listener: socket.socket) -> None:
        for _ in range(_TAKEN_A_TURN):
            try:
                arrived, _address = listener.accept()
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(listener, error)
                break
            arrived.setblocking(False)
            request = _peek(arrived)
            if not request:
                self._look_later(arrived)
            self._waiting.put(arrived, first=asks_for_health(request))

    def _look_later(self, silent: socket.socket) -> None:
        if not self._silent:
            self._loop.call_later(_LOOK_SECONDS, self._look_again)
        self._silent.append(silent)

    def _look_again(self) -> None:
        silent, self._silent = self._silent, []
        for each in silent:
            if asks_for_health(_peek(each)):
                self._waiting.hasten(each)

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """No file descriptor is left, or no memory: ask again later, not at once and for ever."""
        log.warning("sockets_not_taken", **describe(error))
        self._loop.remove_reader(listener)
        self._loop.call_later(_PAUSE_SECONDS, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._take, listener)

    def _let_in(self, arrived: socket.socket) -> None:
        task = self._loop.create_task(self._open(arrived))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, arrived: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, arrived)
        except OSError as error:
            # It has gone meanwhile.
            log.debug("socket_not_opened", **describe(error))
            arrived.close()


def _peek(arrived: socket.socket) -> bytes:
    """How its request begins, which stays to be read; nothing where none has come."""
    try:
        return arrived.recv(_LOOK_BYTES, socket.MSG_PEEK)
    except OSError:
        return b""
