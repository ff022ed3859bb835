"""The router's settings: the shared ones and its own, by environment."""

from __future__ import annotations

from pydantic import Field

from common.settings import CommonSettings, Duration, Port, seconds


class RouterSettings(CommonSettings):
    metrics_host: str = Field("127.0.0.1", description="address of /healthz, /readyz and /metrics")
    metrics_port: Port = Field(9101, description="their port; 0 takes a free one")
    router_session_timeout: Duration = Field(
        seconds("6s"),
        description="a router that is silent for this long loses its partitions; brokers allow 6s at least by default",
    )
    router_heartbeat_interval: Duration = Field(
        seconds("500ms"), description="between heartbeats to the group; others learn of a rebalance only at theirs"
    )
    router_max_poll_records: int = Field(
        5000,
        ge=1,
        description="most updates routed in one tick; fewer than a fetch brings would hold up the next fetch",
    )
    router_commit_interval: Duration = Field(
        seconds("100ms"), description="between commits; after a crash what is not committed is routed again"
    )
    router_pending_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024 * 1024,
        description="deliveries in memory without acknowledgement; at it, no more updates are read",
    )
    router_progress_interval: Duration = Field(
        seconds("1s"), description="gateways learn this often how far a partition has come"
    )
    router_recent_updates: int = Field(
        20_000, ge=0, description="updates of a partition kept in memory, so that a replay need not read Kafka"
    )
    router_recent_bytes: int = Field(
        32 * 1024 * 1024, ge=0, description="memory of a partition for them; the oldest go first"
    )
    router_replay_bytes: int = Field(
        2 * 1024 * 1024,
        ge=64 * 1024,
        description="replays wait while more than this is on its way to gateways, so that live updates do not",
    )
    router_checkpoint_interval: Duration = Field(
        seconds("5s"),
        description="between checkpoints of last values in Redis, from which the next owner builds its table",
    )
    router_registry: bool = Field(True, description="whether this router writes connections and rooms to Redis")
    router_reaper: bool = Field(True, description="whether this router cleans up after dead gateways")
    router_reaper_interval: Duration = Field(seconds("1s"), description="between looks at the slots' leases")
    router_reaper_grace: Duration = Field(
        seconds("3s"), description="a slot is taken when its lease was seen expired for this long in a row"
    )
    router_sweep_interval: Duration = Field(
        seconds("5m"),
        description="between searches of Redis for what no record accounts for; each router compares its index with the record as often",
    )
    router_bridge: bool = Field(
        True, description="whether this router may bridge Redis pub/sub (events:*) to the updates topics"
    )
    router_bridge_lease: Duration = Field(
        seconds("5s"), description="another router bridges this long after the one that did has died"
    )
