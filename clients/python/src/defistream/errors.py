"""What can go wrong, as an application sees it. Facts are attributes; the sentence is made from them."""

from __future__ import annotations


class DefistreamError(Exception):
    """Root of all errors that this package raises on purpose."""


class ConnectionFailed(DefistreamError):
    """No connection could be opened: nobody listens there, TLS failed, or something that speaks no WebSocket answered."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"cannot connect to {url}: {reason}")
        self.url = url
        self.reason = reason


class ConnectionClosed(DefistreamError):
    """The connection is closed and stays closed. `code` and `reason` are the WebSocket's, 1006 where it ended without a close frame."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"connection closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class AuthenticationFailed(ConnectionClosed):
    """The key was refused, revoked, or not accepted in time (close codes 4501 to 4503); trying again would not help.

    `error` is the server's error code where it gave one (`invalid_api_key`), `message` its sentence.
    """

    def __init__(self, code: int, reason: str = "", *, error: str | None = None, message: str = "") -> None:
        super().__init__(code, reason)
        self.error = error
        self.message = message

    def __str__(self) -> str:
        return (
            f"authentication failed: {self.message or self.reason or 'the key was refused'} ({self.error or self.code})"
        )


class SubscriptionRefused(DefistreamError):
    """The server refused a subscription. `field` names the input that it objects to; `retryable` says whether waiting may help."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({code}{f', {field}' if field else ''})")
        self.code = code
        self.message = message
        self.field = field
        self.retryable = retryable
        self.retry_after = retry_after
        """Seconds, where the server said."""


class CursorExpired(SubscriptionRefused):
    """Updates after the cursor are no longer kept. `oldest` is the oldest cursor that the server could have served."""

    def __init__(self, message: str, *, field: str | None = None, oldest: str | None = None) -> None:
        super().__init__("cursor_expired", message, field=field)
        self.oldest = oldest


class SubscriptionTimeout(DefistreamError, TimeoutError):
    """The server did not confirm a subscription in time."""

    def __init__(self, channel: str, seconds: float) -> None:
        super().__init__(f"no answer to the subscription of {channel} within {seconds:g} s")
        self.channel = channel
        self.seconds = seconds


class InvalidArgument(DefistreamError, ValueError):
    """An argument that cannot be meant: an unknown channel, an empty list, `min_value` above `max_value`."""
