"""The gateway's settings for the servers of a test run, on names that no other test uses."""

from __future__ import annotations

import itertools

from gateway.settings import GatewaySettings
from tests.support.fixtures import Isolation

_numbers = itertools.count()


def settings_for(isolation: Isolation) -> GatewaySettings:
    address = isolation.servers.redis
    return GatewaySettings(
        kafka_bootstrap_servers=isolation.servers.kafka,
        kafka_fetch_max_wait="20ms" if isolation.servers.kind == "embedded" else "500ms",
        topic_prefix=f"{isolation.topic_prefix}{next(_numbers)}.",
        slots=4,
        updates_partitions=2,
        events_partitions=2,
        redis_host=address.host,
        redis_port=address.port,
        redis_password=isolation.servers.redis_password,
        redis_db=isolation.redis_db,
    )
