"""What an existing key system answered, read as a key record. Pure.

A field is named by its path in the JSON answer: `data.owner.id` is the `id` of the `owner` of the `data`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from auth.keys import LAST_MS, KeyRecord
from common.errors import FieldError
from common.identifiers import KeyHash
from common.limits import check_overrides
from common.permissions import KNOWN

_SECONDS_BELOW = 100_000_000_000
"""Numbers below are seconds (the year 5138), others milliseconds (since 1973)."""


class MalformedAnswer(FieldError):
    """The answer is not what the settings say it is: nothing can be told of the key."""


@dataclass(frozen=True, slots=True)
class AnswerFields:
    """Paths; `None` where the answer has no such field."""

    valid: str | None = "valid"
    user: str | None = "user"
    permissions: str | None = "permissions"
    limits: str | None = "limits"
    expires: str | None = "expiresAt"
    default_permissions: tuple[str, ...] = ("channel:*",)


def read_answer(body: object, fields: AnswerFields, key_hash: KeyHash) -> KeyRecord | None:
    """The record, `None` where the answer says that the key is not valid.

    Permissions and limits that mean nothing here are left out. Raises `MalformedAnswer` naming the field.
    """
    if not isinstance(body, dict):
        raise MalformedAnswer("the answer is no JSON object")
    if not _valid(body, fields.valid):
        return None
    return KeyRecord(
        key_hash=key_hash,
        user=_user(body, fields.user),
        permissions=_permissions(body, fields),
        limits=_limits(body, fields.limits),
        expires_at=_expires_at(body, fields.expires),
    )


def _at(body: dict[str, Any], path: str | None) -> Any:
    """The value at a path, `None` where it ends early."""
    value: Any = body if path else None
    for name in (path or "").split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _valid(body: dict[str, Any], path: str | None) -> bool:
    if path is None:
        return True
    valid = _at(body, path)
    if not isinstance(valid, bool):
        raise MalformedAnswer(f"{path} must be true or false", field=path)
    return valid


def _user(body: dict[str, Any], path: str | None) -> str | None:
    user = _at(body, path)
    if user is None or isinstance(user, str):
        return user
    if isinstance(user, int) and not isinstance(user, bool):
        return str(user)
    raise MalformedAnswer(f"{path} must be a string", field=path)


def _permissions(body: dict[str, Any], fields: AnswerFields) -> tuple[str, ...]:
    listed = _at(body, fields.permissions)
    if listed is None:
        return fields.default_permissions
    if isinstance(listed, str):
        listed = listed.replace(",", " ").split()
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise MalformedAnswer(f"{fields.permissions} must be a list of strings", field=fields.permissions)
    return tuple(each for each in listed if each in KNOWN)


def _limits(body: dict[str, Any], path: str | None) -> dict[str, int | None]:
    limits = _at(body, path)
    if limits is None:
        return {}
    if not isinstance(limits, dict):
        raise MalformedAnswer(f"{path} must be an object", field=path)
    return {name: value for name, value in limits.items() if _is_limit(name, value)}


def _is_limit(name: str, value: Any) -> bool:
    try:
        check_overrides({name: value})
    except FieldError:
        return False
    return not isinstance(value, bool)


def _expires_at(body: dict[str, Any], path: str | None) -> int | None:
    """Milliseconds since 1970. An ISO 8601 time without a zone is UTC."""
    expires = _at(body, path)
    if expires is None:
        return None
    try:
        milliseconds = _milliseconds(expires)
    except (TypeError, ValueError, OverflowError):
        raise MalformedAnswer(f"{path} must be a time", field=path) from None
    if not 0 <= milliseconds <= LAST_MS:
        raise MalformedAnswer(f"{path} must be a time between 1970 and 9999", field=path)
    return milliseconds


def _milliseconds(time: Any) -> int:
    if isinstance(time, int | float) and not isinstance(time, bool):
        return round(time * 1000) if time < _SECONDS_BELOW else round(time)
    moment = datetime.fromisoformat(time)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
