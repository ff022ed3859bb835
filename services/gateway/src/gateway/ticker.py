"""The gateway's one timer: every tenth of a second, whoever has a deadline gets its turn."""

from __future__ import annotations

import asyncio

from common.clock import Clock
from gateway.authentication import Authentication
from gateway.connections import WHEEL_GRANULARITY_SECONDS, Connections
from gateway.hub import Hub
from gateway.statistics import Statistics

_SAMPLE_SECONDS = 1.0


class Ticker:
    def __init__(
        self,
        connections: Connections,
        hub: Hub,
        authentication: Authentication,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._hub = hub
        self._authentication = authentication
        self._statistics = statistics
        self._clock = clock

    async def run(self) -> None:
        """Tick until cancelled."""
        sampled = 0.0
        while True:
            await asyncio.sleep(WHEEL_GRANULARITY_SECONDS)
            now = self._clock.monotonic()
            self._connections.tick()
            self._hub.activation.tick(now)
            self._hub.catching_up.tick(now)
            self._authentication.tick()
            if now - sampled >= _SAMPLE_SECONDS:
                sampled = now
                self._statistics.sample()
