"""All metrics of the product, with kind and meaning. Prefix = the service; unit last; no ids as labels."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# gateway ------------------------------------------------------------------------------------------------------------
gateway_connections = Gauge("gateway_connections", "Open connections, authenticated or not")
gateway_connections_opened_total = Counter("gateway_connections_opened", "Connections accepted")
gateway_connections_closed_total = Counter("gateway_connections_closed", "Connections ended, by close code", ["code"])
gateway_rooms = Gauge("gateway_rooms", "Rooms with at least one subscription here")
gateway_subscriptions = Gauge("gateway_subscriptions", "Subscriptions, by channel", ["channel"])
gateway_errors_total = Counter("gateway_errors", "Errors answered, by code", ["code"])
gateway_updates_total = Counter("gateway_updates", "Updates received from routers")
gateway_frames_total = Counter("gateway_frames", "Update frames handed to sockets")
gateway_sends_failed_total = Counter(
    "gateway_sends_failed", "Frames that one connection could not be given; others were"
)
gateway_slow_consumers_total = Counter("gateway_slow_consumers", "Connections closed with 4003")
gateway_repeats_dropped_total = Counter("gateway_repeats_dropped", "Deliveries at or below the position")
gateway_rooms_lost_updates_total = Counter(
    "gateway_rooms_lost_updates",
    "Rooms told that updates were deleted before they could be sent (notice updates_lost)",
)
gateway_fenced_total = Counter("gateway_fenced", "Deliveries dropped: older fencing epoch or generation", ["reason"])
gateway_delivery_seconds = Histogram(
    "gateway_delivery_seconds", "From the source record's timestamp to the socket", buckets=_LATENCY
)
gateway_authentication_seconds = Histogram(
    "gateway_authentication_seconds", "From a key's arrival to its decision", buckets=_LATENCY
)
gateway_activation_seconds = Histogram(
    "gateway_activation_seconds", "From a subscribe to its subscribed", buckets=_LATENCY
)
gateway_records_repaired_total = Counter(
    "gateway_records_repaired",
    "Differences of the records in Redis from the truth, told to the registry again, by kind",
    ["kind"],
)

# router -------------------------------------------------------------------------------------------------------------
router_updates_total = Counter("router_updates", "Updates routed, by channel", ["channel"])
router_deliveries_total = Counter("router_deliveries", "Records produced to deliveries")
router_matched_rooms_total = Counter("router_matched_rooms", "Rooms of slots that updates were routed to")
router_dead_letters_total = Counter("router_dead_letters", "Records set aside, by channel", ["channel"])
router_rooms = Gauge("router_rooms", "Distinct rooms in the index")
router_partitions = Gauge("router_partitions", "Source partitions owned")
router_takeovers_total = Counter("router_takeovers", "Source partitions taken over")
router_activations_total = Counter("router_activations", "Activations sent")
router_route_seconds = Histogram(
    "router_route_seconds", "From a batch's arrival to its acknowledged deliveries", buckets=_LATENCY
)
router_replays_total = Counter("router_replays", "Asks for a replay or a snapshot answered, by verdict", ["verdict"])
router_replay_passes_total = Counter(
    "router_replay_passes", "Answers to all asks of a time on a partition, by where from", ["origin"]
)
router_replayed_total = Counter("router_replayed", "Earlier updates sent, once for each slot and update")
router_replay_reads_total = Counter("router_replay_reads", "Reads of Kafka for replays, each for all asks of a pass")
router_replay_seconds = Histogram("router_replay_seconds", "From a pass' begin to its activations", buckets=_LATENCY)
router_snapshot_entities = Histogram(
    "router_snapshot_entities",
    "Entities of a partition matched for snapshots",
    buckets=(10, 100, 1000, 10_000, 100_000),
)
router_latest_entities = Gauge("router_latest_entities", "Entities with a last value, of all owned partitions")
router_latest_builds_total = Counter(
    "router_latest_builds", "Tables of last values built, by what they were built from", ["origin"]
)
router_checkpoints_total = Counter("router_checkpoints", "Checkpoints of last values, by outcome", ["outcome"])
router_registry_events_total = Counter("router_registry_events", "Events written to Redis, by kind", ["kind"])
router_reaped_slots_total = Counter("router_reaped_slots", "Slots taken from dead gateways")
router_reaped_connections_total = Counter("router_reaped_connections", "Connections removed with them")
router_index_repaired_total = Counter(
    "router_index_repaired", "Rooms that the index lacked and the interest on record had, added"
)
router_records_repaired_total = Counter(
    "router_records_repaired", "Records in Redis that nothing accounts for, removed, by kind", ["kind"]
)
router_bridged_total = Counter("router_bridged", "Pub/sub messages produced to updates topics, by outcome", ["outcome"])

# auth ---------------------------------------------------------------------------------------------------------------
auth_requests_total = Counter(
    "auth_requests", "Requests answered, by outcome and where the decision came from", ["outcome", "source"]
)
auth_decision_seconds = Histogram("auth_decision_seconds", "From a batch of requests to its replies", buckets=_LATENCY)
auth_key_store_errors_total = Counter("auth_key_store_errors", "Key store calls that failed, by kind", ["kind"])
auth_revocations_total = Counter("auth_revocations", "Revocations seen")
