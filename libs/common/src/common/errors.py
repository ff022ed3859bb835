"""The root of all errors, and the codes by which a client knows them (docs/protocol.md)."""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    BAD_REQUEST = "bad_request"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_CHANNEL = "unknown_channel"
    INVALID_FILTER = "invalid_filter"
    API_KEY_REQUIRED = "api_key_required"
    INVALID_API_KEY = "invalid_api_key"
    PERMISSION_DENIED = "permission_denied"
    ALREADY_AUTHENTICATED = "already_authenticated"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    CURSOR_EXPIRED = "cursor_expired"
    NOT_SUBSCRIBED = "not_subscribed"
    UNAVAILABLE = "unavailable"


class DefistreamError(Exception):
    """An error that a person or a client is told. `code` is its name on the wire, `retryable` whether trying again may help."""

    code = ErrorCode.BAD_REQUEST
    retryable = False


class FieldError(DefistreamError):
    """Something in the input is wrong; `field` names it as the sender wrote it, `None` for the input as a whole."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidFilter(FieldError):
    code = ErrorCode.INVALID_FILTER


class UnknownChannel(FieldError):
    code = ErrorCode.UNKNOWN_CHANNEL


class InvalidUpdate(FieldError):
    """A producer's record that cannot be routed; it goes to the dead letters with `message` as the reason."""


class InvalidCursor(FieldError):
    """A text that is no cursor."""


class Unavailable(DefistreamError):
    """A backend did not answer in time; nothing was done by halves."""

    code = ErrorCode.UNAVAILABLE
    retryable = True


class StartupError(DefistreamError):
    """The service cannot start as configured. The text is one line for an operator."""
