"""An existing key system, small: it knows keys by the same hash, and answers over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.keys import KeyRecord
from common.health import HttpServer, listen


class KeySystem:
    """`status` overrules its answers; while `hold` is not set, it does not answer."""

    def __init__(self) -> None:
        self.url = ""
        self.status: int | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.asked: list[tuple[str, str, str | None, bytes]] = []
        self.most_open = 0
        self._open = 0
        self._changed = asyncio.Condition()
        self._records: dict[str, KeyRecord] = {}

    def add(self, record: KeyRecord) -> None:
        self._records[record.key_hash] = record

    async def open_calls(self, number: int) -> None:
        """Returns when as many calls wait for their answers."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._open == number)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[KeySystem]:
        listener = listen("127.0.0.1", 0, variable="none")
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        routes = [
            Route("/keys/{key_hash}", self._by_path),
            Route("/check", self._by_header),
            Route("/check", self._by_body, methods=["POST"]),
        ]
        server = HttpServer(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield self
        finally:
            self.hold.set()
            server.should_exit = server.force_exit = True
            await task

    async def _by_path(self, request: Request) -> Response:
        return await self._answer(request, request.path_params["key_hash"])

    async def _by_header(self, request: Request) -> Response:
        return await self._answer(request, request.headers["x-key-hash"])

    async def _by_body(self, request: Request) -> Response:
        return await self._answer(request, (await request.json())["keyHash"])

    async def _answer(self, request: Request, key_hash: str) -> Response:
        body = await request.body()
        self.asked.append((request.method, request.url.path, request.headers.get("authorization"), body))
        await self._count(1)
        try:
            await self.hold.wait()
        finally:
            await self._count(-1)
        if self.status is not None:
            return Response("away", self.status)
        record = self._records.get(key_hash)
        if record is None:
            return JSONResponse({"error": "no such key"}, 404)
        fields = record.model_dump(by_alias=True, include={"user", "permissions", "limits", "expires_at"})
        return JSONResponse({"valid": True, **fields})

    async def _count(self, change: int) -> None:
        async with self._changed:
            self._open += change
            self.most_open = max(self.most_open, self._open)
            self._changed.notify_all()
