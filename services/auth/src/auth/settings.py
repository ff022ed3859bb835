"""Settings of the auth service and of the command `auth`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from auth.key_stores.http_answers import AnswerFields
from common.errors import FieldError
from common.permissions import check_permissions
from common.settings import CommaSeparated, CommonSettings, Duration, Port, load_settings, seconds

HASH = "{key_hash}"
ABSENT = "-"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Statuses = Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], NoDecode, BeforeValidator(_split)]


class AuthSettings(CommonSettings):
    """A setting `auth_http_url` is the variable `AUTH_HTTP_URL`."""

    metrics_host: str = Field("127.0.0.1", description="address of /healthz, /readyz and /metrics")
    metrics_port: Port = Field(9102, description="their port")
    auth_key_store: Literal["redis", "http"] = Field(
        "redis", description="where keys are kept: by `auth keys`, or in an existing key system"
    )
    auth_cache_ttl: Duration = Field(
        seconds("300s"), description="how long a yes is used before the key store is asked again"
    )
    auth_cache_negative_ttl: Duration = Field(seconds("30s"), description="the same for a no")
    auth_cache_size: int = Field(100_000, ge=1, description="decisions kept in this process; about 2 KB each")
    auth_batch_wait: Duration = Field(
        seconds("5ms"),
        description="wait of an empty poll for requests, and once more after it: adds to each first request",
    )
    auth_request_max_age: Duration = Field(
        seconds("10s"), description="older requests are passed over: their gateway gave up; clocks must differ by less"
    )
    auth_http_url: str | None = Field(
        None, description="with http: the key system's address; {key_hash} in it is replaced"
    )
    auth_http_method: Literal["GET", "POST"] = Field("GET", description='POST sends {"keyHash": "..."}')
    auth_http_header: SecretStr | None = Field(
        None,
        description="one header, `Name: value`, sent to the key system: its credentials; {key_hash} in it is replaced",
    )
    auth_http_timeout: Duration = Field(seconds("2s"), description="longest wait for one answer")
    auth_http_batch_timeout: Duration = Field(
        seconds("4s"), description="longest wait for all answers of a batch of requests"
    )
    auth_http_concurrency: int = Field(64, ge=1, description="calls open at a time")
    auth_http_unknown_statuses: Statuses = Field((404,), description="HTTP statuses that mean: no such key")
    auth_http_valid_field: str = Field(
        "valid", description="where the answer says true or false; `-`: each 2xx is a valid key"
    )
    auth_http_user_field: str = Field("user", description="where it says the key's user; `-`: keys have no users")
    auth_http_permissions_field: str = Field("permissions", description="where it lists permissions; `-`: it does not")
    auth_http_limits_field: str = Field("limits", description="where it has an object of limits; `-`: it has not")
    auth_http_expires_field: str = Field(
        "expiresAt", description="when the key ends: ms or s since 1970, or ISO 8601; `-`: never"
    )
    auth_http_default_permissions: CommaSeparated = Field(
        ("channel:*",), description="of a key whose answer lists none"
    )
    auth_http_breaker_failures: int = Field(
        5, ge=1, description="failures in a row after which the key system is left alone"
    )
    auth_http_breaker_open: Duration = Field(seconds("5s"), description="for so long; then one call tries")

    @field_validator("auth_http_default_permissions")
    @classmethod
    def _permissions_are_known(cls, permissions: tuple[str, ...]) -> tuple[str, ...]:
        try:
            check_permissions(permissions)
        except FieldError as error:
            raise ValueError(error.message) from error
        return permissions

    @model_validator(mode="after")
    def _http_is_told_where(self) -> AuthSettings:
        if self.auth_key_store != "http":
            return self
        url, header = self.auth_http_url, self.auth_http_header
        if url is None or not url.startswith(("http://", "https://")):
            raise ValueError("AUTH_HTTP_URL: needed with AUTH_KEY_STORE=http, and begins with http:// or https://")
        if header is not None and ":" not in header.get_secret_value():
            raise ValueError("AUTH_HTTP_HEADER: must be `Name: value`")
        told = HASH in url or (header is not None and HASH in header.get_secret_value())
        if self.auth_http_method == "GET" and not told:
            raise ValueError(
                f"AUTH_HTTP_URL: says nothing of the key; put {HASH} in it or in AUTH_HTTP_HEADER, or set AUTH_HTTP_METHOD=POST"
            )
        return self

    @model_validator(mode="after")
    def _durations_fit(self) -> AuthSettings:
        if self.auth_http_timeout > self.auth_http_batch_timeout:
            raise ValueError("AUTH_HTTP_TIMEOUT: must not be above AUTH_HTTP_BATCH_TIMEOUT")
        if self.auth_http_batch_timeout >= self.auth_request_max_age:
            raise ValueError("AUTH_HTTP_BATCH_TIMEOUT: must be below AUTH_REQUEST_MAX_AGE, or answers come too late")
        if self.auth_cache_negative_ttl > self.auth_cache_ttl:
            raise ValueError("AUTH_CACHE_NEGATIVE_TTL: must not be above AUTH_CACHE_TTL")
        return self

    def http_header(self) -> tuple[str, str] | None:
        """Name and value."""
        if self.auth_http_header is None:
            return None
        name, _, value = self.auth_http_header.get_secret_value().partition(":")
        return name.strip(), value.strip()

    def answer_fields(self) -> AnswerFields:
        """Where the key system's answers say what."""

        def named(field: str) -> str | None:
            return None if field == ABSENT else field

        return AnswerFields(
            valid=named(self.auth_http_valid_field),
            user=named(self.auth_http_user_field),
            permissions=named(self.auth_http_permissions_field),
            limits=named(self.auth_http_limits_field),
            expires=named(self.auth_http_expires_field),
            default_permissions=self.auth_http_default_permissions,
        )


def load() -> AuthSettings:
    """The settings from the environment. Raises `StartupError` with one line that names the variable."""
    return load_settings(AuthSettings, prefix="AUTH_")
