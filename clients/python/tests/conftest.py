"""A server that speaks the protocol, and a queue of what a client tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from clients.python.tests.protocol_server import ProtocolServer, protocol_server
from defistream import events


@pytest.fixture
async def server() -> AsyncIterator[ProtocolServer]:
    async with protocol_server() as running:
        yield running


@pytest.fixture
def heard() -> asyncio.Queue[events.Event]:
    """For `on_event=heard.put_nowait`."""
    return asyncio.Queue()
