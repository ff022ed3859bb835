"""A TCP relay whose port can be closed and opened: what makes a server go away and come back for one system only."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from deploy.local.ports import free_port
from deploy.local.settings import HOST, Address


class Forwarder:
    """Relays to a server while it is open. Its port is drawn at once, and nothing listens on it before `open`.

    Use it as a context: it is closed afterwards.
    """

    def __init__(self, target: Address) -> None:
        self.address = Address(HOST, free_port())
        self.target = target
        """Where new connections go."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, self.address.host, self.address.port)

    async def close(self) -> None:
        """Nothing listens any more, and every relayed connection is cut."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server = None

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                up_reader, up_writer = await asyncio.open_connection(self.target.host, self.target.port)
                with contextlib.closing(up_writer):
                    async with asyncio.TaskGroup() as group:
                        group.create_task(_pump(reader, up_writer))
                        group.create_task(_pump(up_reader, writer))
        finally:
            self._tasks.discard(task)
            if not writer.transport.is_closing():
                writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
