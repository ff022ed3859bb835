"""Control records on their way to a broker, for as long as a test needs them to go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from gateway.records import Records


@contextlib.asynccontextmanager
async def sending(records: Records, producer: Any) -> AsyncIterator[None]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(records.run(producer))
        yield
        task.cancel()
