"""What the three services share: contracts (topics, rooms, updates, deliveries, events, keys) and edges (Kafka, Redis, settings)."""
