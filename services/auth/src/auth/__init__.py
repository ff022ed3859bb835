"""Validates API keys for the gateways, and manages them."""
