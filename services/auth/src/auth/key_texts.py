"""Key records as the command `auth` prints them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from auth.keys import KeyRecord

_HEADINGS = ("ID", "USER", "STATUS", "PERMISSIONS", "CREATED", "EXPIRES", "NAME")


def record_json(record: KeyRecord, now_ms: int) -> dict[str, Any]:
    """Times are milliseconds since 1970."""
    return {
        "id": record.id,
        "hash": record.key_hash,
        "user": record.user,
        "name": record.name,
        "permissions": list(record.permissions),
        "limits": record.limits,
        "createdAt": record.created_at,
        "expiresAt": record.expires_at,
        "revokedAt": record.revoked_at,
        "status": record.status(now_ms),
    }


def record_text(record: KeyRecord, now_ms: int) -> str:
    rows = (
        ("id", record.id),
        ("hash", record.key_hash),
        ("user", record.user or "-"),
        ("name", record.name or "-"),
        ("status", record.status(now_ms)),
        ("permissions", " ".join(record.permissions) or "-"),
        ("limits", _limits(record)),
        ("created", _time(record.created_at)),
        ("expires", _time(record.expires_at)),
        ("revoked", _time(record.revoked_at)),
    )
    return "\n".join(f"{name:<12} {value}" for name, value in rows)


def records_table(records: Sequence[KeyRecord], now_ms: int) -> str:
    if not records:
        return "no keys"
    rows = [_HEADINGS, *(_row(record, now_ms) for record in records)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(record: KeyRecord, now_ms: int) -> tuple[str, ...]:
    return (
        record.id,
        record.user or "-",
        record.status(now_ms),
        " ".join(record.permissions) or "-",
        _time(record.created_at),
        _time(record.expires_at),
        record.name or "",
    )


def _limits(record: KeyRecord) -> str:
    return " ".join(f"{name}={'none' if value is None else value}" for name, value in record.limits.items()) or "-"


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
