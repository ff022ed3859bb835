"""nchan, nginx's module for publish and subscribe: one worker, and updates by `POST` on one kept-alive connection."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.samples import token_of, update_body
from benchmarks.suite import Skipped
from benchmarks.talking import SERVER_CORE, Talking
from deploy.local.ports import accepts, free_port
from deploy.local.settings import HOST, Address

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_CONFIGURATION = """
load_module {module};
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {folder}/pid; error_log {folder}/error.log error; user root;
events {{ worker_connections 19900; }}
http {{
  access_log off; client_body_temp_path {folder}/body; keepalive_requests 1000000000; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port} backlog=4096;
    location /rooms/ {{ nchan_subscriber websocket; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
    location /publish {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 64; nchan_message_timeout 5s; }}
  }}
}}
"""


class Nchan(Talking):
    """nginx with nchan, as a context. Raises `Skipped` where it is not installed."""

    def __init__(self, *, core: int | None = SERVER_CORE) -> None:
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if program is None or not MODULE.exists():
            raise Skipped("no nginx with nchan (apt-get install nginx libnginx-mod-nchan)")
        self._folder = tempfile.TemporaryDirectory(prefix="defistream-bench-nchan-")
        self._port = free_port()
        configuration = Path(self._folder.name) / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(module=MODULE, folder=self._folder.name, host=HOST, port=self._port)
        )
        arguments = (program, "-p", self._folder.name, "-e", f"{self._folder.name}/error.log", "-c", configuration)
        super().__init__("nchan", arguments, core=core, says_hello=False)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        async with asyncio.timeout(10):
            while not accepts(Address(HOST, self._port)):  # noqa: ASYNC110 - nginx tells nobody that it listens
                await asyncio.sleep(0.05)
        self.hello = {"port": self._port}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, traceback)
        self._folder.cleanup()

    async def run(self, seconds: float, updates: int, size: int, rooms: int) -> dict[str, float]:
        """As the orders of the other servers; the publisher runs in this process."""
        publisher = await Publisher.connect(self._port)
        body = update_body(token_of(0), size=size)
        begun, cpu, ticks = time.perf_counter(), self.cpu_seconds(), 0
        while time.perf_counter() - begun < seconds:
            for room in range(rooms):
                publisher.put(token_of(room), *([body] * updates))
                await publisher.answered()
            ticks += 1
        result = {"ticks": ticks, "seconds": time.perf_counter() - begun, "cpu": self.cpu_seconds() - cpu}
        publisher.close()
        return result


class Publisher:
    """Posts updates, several in one write, and counts the answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting = 0

    @classmethod
    async def connect(cls, port: int) -> Publisher:
        return cls(*await asyncio.open_connection(HOST, port))

    def put(self, room: str, *bodies: bytes) -> None:
        for body in bodies:
            head = f"POST /publish?id={room} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
            self._writer.write(head.encode() + body)
        self._waiting += len(bodies)

    async def answered(self) -> None:
        """Return when all that was put is answered. Raises TimeoutError after ten seconds."""
        await self._writer.drain()
        async with asyncio.timeout(10):
            while self._waiting > 0:
                head = await self._reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await self._reader.readexactly(length)
                self._waiting -= 1

    def close(self) -> None:
        self._writer.close()
