"""A client for tests, written after docs/protocol.md alone: it shares no code with the SDK or the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.matcher import CHANNELS
from tests.support.producer import Published

JsonObject = dict[str, Any]

LIMIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Introduction:
    """One way of giving a key: by header, by query, or by the first message."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    first: JsonObject | None = None


WAYS: dict[str, Callable[[str], Introduction]] = {
    "authorization_bearer": lambda key: Introduction(headers={"Authorization": f"Bearer {key}"}),
    "x_api_key": lambda key: Introduction(headers={"x-api-key": key}),
    "query_apiKey": lambda key: Introduction(query={"apiKey": key}),
    "query_api_key": lambda key: Introduction(query={"api_key": key}),
    "authenticate_message": lambda key: Introduction(first={"type": "authenticate", "auth": {"apiKey": key}}),
    "auth_message": lambda key: Introduction(first={"type": "auth", "auth": {"apiKey": key}}),
    "flat_authenticate_message": lambda key: Introduction(first={"type": "authenticate", "apiKey": key}),
    "message_of_only_auth": lambda key: Introduction(first={"auth": {"apiKey": key}}),
}


class Client:
    """One connection. All that it was sent is in `messages`, in order; `expect` takes what is no update and was not taken yet."""

    def __init__(self, connection: ClientConnection) -> None:
        self.messages: list[JsonObject] = []
        self._unread: list[JsonObject] = []
        self._connection = connection
        self._news = asyncio.Event()
        self._ids = 0
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, introduction: Introduction | None = None) -> Self:
        """A client whose WebSocket is open; what the introduction says has been sent, nothing has been awaited."""
        introduction = introduction or Introduction()
        address = f"{url}?{urlencode(introduction.query)}" if introduction.query else url
        connection = await connect(
            address,
            additional_headers=introduction.headers,
            compression=None,
            ping_interval=None,
            max_size=None,
            max_queue=None,
            proxy=None,
        )
        client = cls(connection)
        if introduction.first is not None:
            await client.send(introduction.first)
        return client

    # Speaking --------------------------------------------------------------------------------------------------------

    async def send(self, message: object) -> None:
        await self.send_text(json.dumps(message))

    async def send_text(self, text: str | bytes) -> None:
        """A text frame, also of bytes that are no UTF-8."""
        await self._connection.send(text, text=True)

    async def send_binary(self, data: bytes) -> None:
        await self._connection.send(data)

    async def command(self, kind: str, **fields: Any) -> JsonObject:
        """Send a command with a fresh id; its first answer, be it an error."""
        self._ids += 1
        await self.send({"type": kind, "id": self._ids, **fields})
        return await self.expect_any(f"the answer to {kind}", id=self._ids)

    async def subscribe(self, channel: str, filters: JsonObject | None = None) -> JsonObject:
        """The `subscribed`; AssertionError when it was refused."""
        given = {} if filters is None else {"filters": filters}
        return self._must_be("subscribed", await self.command("subscribe", channel=channel, **given))

    async def unsubscribe(self, **which: Any) -> JsonObject:
        return self._must_be("unsubscribed", await self.command("unsubscribe", **which))

    async def subscriptions(self) -> list[JsonObject]:
        """What `list` says."""
        listed: list[JsonObject] = self._must_be("subscriptions", await self.command("list"))["subscriptions"]
        return listed

    async def refused(self, kind: str, **fields: Any) -> JsonObject:
        """The error that answers a command."""
        return self._must_be("error", await self.command(kind, **fields))

    # Listening -------------------------------------------------------------------------------------------------------

    async def expect(self, kind: str, *, within: float = LIMIT_SECONDS, **fields: Any) -> JsonObject:
        """Take the first message of a type (with these fields) that was not taken yet; wait for it if need be."""
        return await self.expect_any(kind, within=within, type=kind, **fields)

    async def expect_any(self, what: str, *, within: float = LIMIT_SECONDS, **fields: Any) -> JsonObject:
        """The same, whatever its type."""

        def found() -> JsonObject | None:
            return next((each for each in self._unread if fields.items() <= _hashable(each).items()), None)

        await self.until(lambda: found() is not None, f"{what} {fields}", within=within)
        message = found()
        assert message is not None
        self._unread.remove(message)
        return message

    async def until(self, condition: Callable[[], bool], what: str, *, within: float = LIMIT_SECONDS) -> None:
        """Return when the condition on what was heard holds; AssertionError when it cannot any more."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._news.clear()
                    assert not self._reader.done(), (
                        f"closed with {self.close_code} before: {what}; heard {self._tail()}"
                    )
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within} s: {what}; heard {self._tail()}") from None

    async def expect_updates(self, *published: Published, within: float = LIMIT_SECONDS) -> None:
        """Return when each of these updates was heard."""
        wanted = {(each.channel, each.id) for each in published}
        await self.until(lambda: wanted <= set(self.update_ids), f"{len(wanted)} updates", within=within)

    async def expect_number_of_updates(self, least: int) -> None:
        """Return when at least so many updates were heard."""
        await self.until(lambda: len(self.updates) >= least, f"{least} updates")

    async def expect_update(self, published: Published) -> JsonObject:
        """The update, as it was sent."""
        await self.expect_updates(published)
        return next(each for each in self.updates if (each["channel"], each["id"]) == (published.channel, published.id))

    async def closed(self, *, within: float = LIMIT_SECONDS) -> int | None:
        """The close code, once the server has closed the connection."""
        try:
            async with asyncio.timeout(within):
                await asyncio.shield(self._reader)
        except TimeoutError:
            raise AssertionError(f"not closed within {within} s; heard {self._tail()}") from None
        return self.close_code

    @property
    def close_code(self) -> int | None:
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        return self._connection.close_reason

    @property
    def is_open(self) -> bool:
        return not self._reader.done()

    @property
    def updates(self) -> list[JsonObject]:
        """All updates so far, in order."""
        return [each for each in self.messages if each.get("type") in CHANNELS]

    @property
    def update_ids(self) -> list[tuple[str, str]]:
        """Channel and id of all updates so far, in order."""
        return [(each["channel"], each["id"]) for each in self.updates]

    # Ending ----------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close handshake; returns when the reader has ended."""
        await self._connection.close()
        await self._reader

    def vanish(self) -> None:
        """Drop the TCP connection without a word (a reset), as a device that lost its network would."""
        self._connection.transport.abort()

    async def _read(self) -> None:
        try:
            async for text in self._connection:
                message: JsonObject = json.loads(text)
                self.messages.append(message)
                if message.get("type") not in CHANNELS:
                    self._unread.append(message)
                self._news.set()
        except ConnectionClosed:
            return
        finally:
            self._news.set()

    def _must_be(self, kind: str, answer: JsonObject) -> JsonObject:
        assert answer["type"] == kind, answer
        return answer

    def _tail(self) -> str:
        return "; ".join(json.dumps(each)[:300] for each in self.messages[-5:]) or "nothing"


def _hashable(message: JsonObject) -> JsonObject:
    return {name: value for name, value in message.items() if not isinstance(value, dict | list)}
