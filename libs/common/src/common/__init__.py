"""What the three services share: the contracts (topics, rooms, updates, deliveries, events, keys) and the edges (Kafka, Redis, settings)."""
