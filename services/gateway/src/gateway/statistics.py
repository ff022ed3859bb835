"""The figures of `/v2/stats`, and of `/metrics` where the hot path only counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from common import metrics
from common.channels import Channel
from common.identifiers import GatewayId
from gateway.connections import Connections
from gateway.hub import Counts, Hub


class Statistics:
    def __init__(self, gateway: GatewayId, hub: Hub, connections: Connections) -> None:
        self._gateway = gateway
        self._hub = hub
        self._connections = connections
        self._sampled = Counts()

    def to_json(self) -> dict[str, Any]:
        """Of this gateway, since its start. `deliveries` counts update frames handed to sockets."""
        subscriptions = self._hub.subscriptions()
        return {
            "gateway": self._gateway,
            "connections": len(self._connections),
            "authenticated": len(self._hub.members),
            "rooms": self._hub.rooms,
            "subscriptions": {channel.value: subscriptions.get(channel.value, 0) for channel in Channel},
            "updates": self._hub.counts.updates,
            "deliveries": self._hub.counts.frames,
        }

    def sample(self) -> None:
        """Move the counters of `/metrics` on to the hub's counts."""
        counts, before = self._hub.counts, self._sampled
        metrics.gateway_updates_total.inc(counts.updates - before.updates)
        metrics.gateway_frames_total.inc(counts.frames - before.frames)
        metrics.gateway_repeats_dropped_total.inc(counts.repeats - before.repeats)
        metrics.gateway_fenced_total.labels(reason="generation").inc(counts.fenced - before.fenced)
        metrics.gateway_rooms_lost_updates_total.inc(counts.lost - before.lost)
        self._sampled = replace(counts)
        metrics.gateway_rooms.set(self._hub.rooms)
        subscriptions = self._hub.subscriptions()
        for channel in Channel:
            metrics.gateway_subscriptions.labels(channel=channel.value).set(subscriptions.get(channel.value, 0))
