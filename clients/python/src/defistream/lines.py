"""Updates as lines for people: aligned, coloured on a terminal. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, assert_never

from defistream import events
from defistream.updates import Update

TIME_WIDTH = 19
CHANNEL_WIDTH = 12
ENTITY_WIDTH = 24
VALUE_WIDTH = 20
CHANGE_WIDTH = 10
CHAINS_SHOWN = 3
NOTE_WIDTH = 60

_CHANGES = ("changePercent", "change", "percentChange")
_NOTES = ("symbol", "name", "title", "message")
# C0 and C1 controls and DEL: what an update says must not move the reader's cursor or colour the terminal.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Palette:
    """SGR sequences; all empty without colour."""

    dim: str = ""
    bold: str = ""
    rise: str = ""
    fall: str = ""
    end: str = ""


PLAIN = Palette()
COLOURS = Palette(dim="\x1b[2m", bold="\x1b[1m", rise="\x1b[32m", fall="\x1b[31m", end="\x1b[0m")


def format_line(update: Update, palette: Palette = PLAIN) -> str:
    """One line without its end: time (UTC), channel, entity, value, change in percent, chains, and a word from `data`."""
    change = _change(update.data)
    tint = palette.dim if not change else palette.rise if change > 0 else palette.fall
    cells = (
        _paint(format_time(update.timestamp).ljust(TIME_WIDTH), palette.dim, palette),
        _fit(update.channel, CHANNEL_WIDTH).ljust(CHANNEL_WIDTH),
        _paint(_fit(update.entity or "-", ENTITY_WIDTH).ljust(ENTITY_WIDTH), palette.bold, palette),
        format_value(update.value).rjust(VALUE_WIDTH),
        _paint(("" if change is None else f"{change:+.2f}%").rjust(CHANGE_WIDTH), tint, palette),
        _paint(_tail(update), palette.dim, palette),
    )
    return "  ".join(cells).rstrip()


def format_json(update: Update) -> str:
    """The update as the server sent it, on one line."""
    return json.dumps(update.raw, separators=(",", ":"), ensure_ascii=False)


def describe(event: events.Event) -> str | None:  # noqa: C901 - flat, one case an event
    """What happened beside updates, in one line; `None` for what is told by an error anyway."""
    match event:
        case events.Connected(user=user, connection_id=connection_id):
            text = f"connected as {user or 'nobody'} (connection {connection_id})"
        case events.Subscribed(room=room, filters=filters):
            text = f"subscribed to {room} {json.dumps(filters, ensure_ascii=False)}"
        case events.CaughtUp():
            text = _describe_past(event)
        case events.Reconnecting(after=after, code=code, reason=reason):
            why = " ".join(str(part) for part in (code, reason) if part)
            text = f"reconnecting in {after:.1f} s ({why})"
        case events.Resubscribing(channel=channel, after=after, message=message):
            text = f"subscribing to {channel} again in {after:.1f} s ({message})"
        case events.Gap(room=room):
            text = f"updates of {room} may be missing"
        case events.Notice(kind=kind, message=message):
            text = f"notice {kind}: {message}"
        case events.Broadcast(channel=channel, data=data):
            text = f"broadcast to {channel or 'everyone'}: {json.dumps(data, ensure_ascii=False)}"
        case events.Conflated(channel=channel, count=count):
            text = f"too slow: {count} updates of {channel} were replaced by newer ones"
        case events.Complaint():
            return None
        case _:
            assert_never(event)
    return _clean(text)


def _describe_past(end: events.CaughtUp) -> str:
    came = f"{end.count} {'last values' if end.snapshot else 'missed updates'} of {end.room}"
    return f"{came}; what followed the cursor is no longer kept" if end.expired else came


def format_time(timestamp: int | None) -> str:
    """Milliseconds since 1970 as `2025-12-08 19:09:10`, UTC."""
    if timestamp is None:
        return "-"
    try:
        return datetime.fromtimestamp(timestamp / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def format_value(value: float | None) -> str:
    """Grouped digits, no exponent: two decimals from 1,000 on, four from 1 on, eight significant ones below."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1e15:
        return f"{value:.6g}"
    if size >= 1000:
        return f"{value:,.2f}"
    if size >= 1 or size == 0:
        return _without_zeros(f"{value:,.4f}")
    return _without_zeros(f"{value:.12f}") if size >= 1e-10 else f"{value:.6g}"


def _tail(update: Update) -> str:
    chains = list(update.chains[:CHAINS_SHOWN])
    more = len(update.chains) - len(chains)
    shown = ",".join(chains) + (f" +{more}" if more > 0 else "")
    return "  ".join(part for part in (_clean(shown), _note(update.data)) if part)


def _note(data: Any) -> str:
    if not isinstance(data, Mapping):
        return ""
    text = next((value for name in _NOTES if isinstance(value := data.get(name), str) and value), "")
    return _fit(text, NOTE_WIDTH)


def _change(data: Any) -> float | None:
    if not isinstance(data, Mapping):
        return None
    numbers = (data.get(name) for name in _CHANGES)
    found = next((one for one in numbers if isinstance(one, int | float) and not isinstance(one, bool)), None)
    # As shown: what rounds to nothing is no fall. Adding 0.0 takes the sign from -0.0.
    return None if found is None else round(float(found), 2) + 0.0


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".")


def _fit(text: str, width: int) -> str:
    text = _clean(text)
    return text if len(text) <= width else text[: width - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", text)


def _paint(text: str, sequence: str, palette: Palette) -> str:
    return f"{sequence}{text}{palette.end}" if sequence and text.strip() else text
