"""The router: matches updates against the rooms that gateways want, and addresses deliveries to their slots."""
