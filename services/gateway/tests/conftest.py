"""Fixtures of the gateway's tests."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from common.logs import configure_logs
from services.gateway.tests.running import Running, running

configure_logs("tests", level="WARNING", form="console")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """The event loop of the service: its transports buffer and half-close in their own way."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def gateway() -> AsyncIterator[Running]:
    """A gateway that serves on a TCP port, with the parts around it in memory."""
    async with running() as gateway:
        yield gateway
