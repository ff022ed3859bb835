"""The gateway's settings; those that all services share are in `common.settings`."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from common.limits import Limits
from common.settings import CommaSeparated, CommonSettings, Duration, Port, seconds
from gateway.handshake import Networks
from gateway.protocol.replies import Timing


def _check_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        ip_network(each, strict=False)
    return value


class GatewaySettings(CommonSettings):
    gateway_host: str = Field("127.0.0.1", description="address to listen on")
    gateway_port: Port = Field(8080, description="port of WebSockets and HTTP")
    gateway_process_port: Port = Field(
        9110, description="with --processes, process n (from 0) listens on this port + n as well: metrics, health"
    )
    websocket_api_endpoint: str = Field(
        "/v2/realtime", description="path of the WebSockets, or their public URL (its path counts)"
    )
    gateway_heartbeat_interval: Duration = Field(seconds("15s"), description="between heartbeats of a connection")
    gateway_idle_timeout: Duration = Field(
        seconds("60s"), description="a connection that is not heard from for this long is closed (4002)"
    )
    gateway_auth_timeout: Duration = Field(
        seconds("10s"), description="a connection without a key after this is closed (4501)"
    )
    gateway_auth_reply_timeout: Duration = Field(
        seconds("5s"), description="auth counts as away when it has not answered in this (4004)"
    )
    gateway_connection_lifetime: Duration = Field(seconds("24h"), description="a connection ends after this (4001)")
    gateway_max_connections: int = Field(
        10_000, ge=1, description="most sockets at a time; each takes a file descriptor"
    )
    gateway_connections_per_minute: int = Field(
        100, ge=1, description="new connections of one address in a minute (4005)"
    )
    gateway_max_message_bytes: int = Field(
        32 * 1024, ge=256, description="longest message of a client, in bytes (1009)"
    )
    gateway_messages_per_minute: int = Field(1000, ge=1, description="messages of one connection in a minute")
    gateway_subscription_changes_per_minute: int = Field(
        60, ge=1, description="subscribes and unsubscribes of one connection in a minute"
    )
    gateway_max_subscriptions: int = Field(100, ge=1, description="subscriptions of one connection")
    gateway_max_filter_values: int = Field(100, ge=1, description="ids in one list of a filter")
    trusted_addresses: Annotated[CommaSeparated, AfterValidator(_check_networks)] = Field(
        ("127.0.0.0/8", "::1/128"), description="not limited by address; may say by X-Forwarded-For whom they speak for"
    )
    gateway_outbox_bytes: int = Field(
        1024 * 1024, ge=1024, description="bytes that may wait for one slow connection (4003)"
    )
    gateway_replay_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        description="bytes that may wait for a connection while it gets a replay or a snapshot",
    )
    gateway_recent_bytes: int = Field(
        16 * 1024 * 1024,
        ge=0,
        description="bytes of replays and what followed them, kept for others who ask for the same a little later",
    )
    gateway_replay_timeout: Duration = Field(
        seconds("30s"), description="a replay of which nothing was heard for this long fails"
    )
    gateway_drain_timeout: Duration = Field(
        seconds("10s"), description="longest time from SIGTERM to the end of the last socket"
    )
    gateway_comparison_interval: Duration = Field(
        seconds("1m"), description="what Redis has on record of this gateway is compared with the truth so often"
    )
    gateway_outage_settle: Duration = Field(
        seconds("2s"), description="clients are told that a backend is away, or back, when it was for this long"
    )
    gateway_activation_retry: Duration = Field(
        seconds("1s"), description="a room without an answer is asked for again after this"
    )
    gateway_activation_timeout: Duration = Field(
        seconds("5s"), description="a subscribe that could not take effect in this fails"
    )

    @property
    def path(self) -> str:
        return "/" + urlsplit(self.websocket_api_endpoint).path.strip("/")

    def networks(self) -> Networks:
        return tuple(ip_network(each, strict=False) for each in self.trusted_addresses)

    def timing(self) -> Timing:
        return Timing(
            heartbeat_interval=self.gateway_heartbeat_interval.total_seconds(),
            idle_timeout=self.gateway_idle_timeout.total_seconds(),
            auth_timeout=self.gateway_auth_timeout.total_seconds(),
            lifetime=self.gateway_connection_lifetime.total_seconds(),
        )

    def limits(self) -> Limits:
        return Limits(
            message_bytes=self.gateway_max_message_bytes,
            messages_per_minute=self.gateway_messages_per_minute,
            subscription_changes_per_minute=self.gateway_subscription_changes_per_minute,
            subscriptions=self.gateway_max_subscriptions,
            filter_values=self.gateway_max_filter_values,
        )
