"""The gateway's one timer: every tenth of a second, whoever has a deadline gets its turn."""

from __future__ import annotations

import asyncio

from common.clock import Clock
from common.health import Readiness
from gateway.authentication import Authentication
from gateway.connections import WHEEL_GRANULARITY_SECONDS, Connections
from gateway.outages import Outages
from gateway.statistics import Statistics

_SAMPLE_SECONDS = 1.0


class Ticker:
    def __init__(
        self,
        connections: Connections,
        authentication: Authentication,
        statistics: Statistics,
        *,
        outages: Outages,
        readiness: Readiness,
        clock: Clock,
    ) -> None:
        self._connections = connections
        self._hub = connections.hub
        self._authentication = authentication
        self._statistics = statistics
        self._outages = outages
        self._readiness = readiness
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
            away = [name for name in Outages.dependencies if self._readiness.lacks(name)]
            self._outages.tick(away, self._connections.authenticated, now=now)
            if now - sampled >= _SAMPLE_SECONDS:
                sampled = now
                self._statistics.sample()
