"""Commands as the JSON text that goes to the server (docs/protocol.md)."""

from __future__ import annotations

import json
from typing import Any

from defistream.filters import Filters


def authenticate(api_key: str) -> str:
    return _text({"type": "authenticate", "auth": {"apiKey": api_key}})


def subscribe(number: int, channel: str, filters: Filters, since: str | None, *, snapshot: bool = False) -> str:
    command: dict[str, Any] = {"type": "subscribe", "id": number, "channel": channel}
    if selected := filters.to_json():
        command["filters"] = selected
    if since is not None:
        command["since"] = since
    if snapshot:
        command["snapshot"] = True
    return _text(command)


def unsubscribe(number: int, room: str) -> str:
    return _text({"type": "unsubscribe", "id": number, "room": room})


def _text(command: dict[str, Any]) -> str:
    return json.dumps(command, separators=(",", ":"))
