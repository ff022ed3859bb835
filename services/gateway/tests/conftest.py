"""Fixtures of the gateway's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from common.logs import configure_logs
from services.gateway.tests.running import Running, running

configure_logs("tests", level="WARNING", form="console")


@pytest.fixture
async def gateway() -> AsyncIterator[Running]:
    """A gateway that serves on a TCP port, with the parts around it in memory."""
    async with running() as gateway:
        yield gateway
