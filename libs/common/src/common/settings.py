"""Settings: read once from the environment, frozen; an unknown or wrong one stops the start with one line that names it.

A setting `redis_host` is the variable `REDIS_HOST`. Durations are written `15s`, `500ms`, `24h`, or a plain number of seconds.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common.errors import StartupError
from common.topics import Topics

DEVELOPMENT_PEPPER = "defistream-development"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")


def _parse_duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError("must be a duration such as 15s, 500ms or 24h")
    return timedelta(seconds=float(found.group(1)) * _UNITS[found.group(2) or "s"])


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def seconds(text: str) -> timedelta:
    """A default, written as in the environment."""
    parsed = _parse_duration(text)
    assert isinstance(parsed, timedelta)
    return parsed


class CommonSettings(BaseSettings):
    """What all services share."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="brokers, host:port, comma between")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to them"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field("PLAIN", description="with SASL")
    kafka_sasl_username: str | None = Field(None, description="with SASL")
    kafka_sasl_password: SecretStr | None = Field(None, description="with SASL")
    kafka_ssl_cafile: str | None = Field(None, description="certificate authority of the brokers, a file")
    kafka_fetch_max_wait: Duration = Field(
        seconds("500ms"),
        description="longest wait of an empty fetch; the embedded broker looks only twice in it, so it runs with 20ms",
    )
    kafka_replication_factor: int = Field(1, ge=1, description="of topics that a service makes")
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]*$", description="before each topic and group name")
    slots: int = Field(
        64, ge=1, le=4096, description="partitions of deliveries and auth.replies: most gateways at a time"
    )
    updates_partitions: int = Field(
        4, ge=1, description="partitions of each updates topic and of rooms.interest, where made"
    )
    events_partitions: int = Field(8, ge=1, description="partitions of event and request topics, where made")
    redis_host: str = Field("127.0.0.1", description="Redis or Valkey")
    redis_port: Port = Field(6379, description="its port")
    redis_password: SecretStr | None = Field(None, description="its password")
    redis_db: int = Field(0, ge=0, description="its database number")
    redis_ssl: bool = Field(False, description="TLS to Redis")
    api_key_pepper: SecretStr = Field(
        SecretStr(DEVELOPMENT_PEPPER),
        min_length=1,
        description="secret with which API keys are hashed; the same in gateway and auth",
    )
    slot_lease: Duration = Field(seconds("15s"), description="a dead gateway's slot is taken from it within this")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level logged")
    log_format: Literal["json", "console"] = Field("json", description="one JSON object a line, or text for people")

    def topics(self) -> Topics:
        return Topics(self.topic_prefix, self.slots, self.updates_partitions, self.events_partitions)


Loaded = TypeVar("Loaded", bound=CommonSettings)


def load_settings(cls: type[Loaded], *, prefix: str) -> Loaded:
    """The settings of a service. `prefix` is its own (`GATEWAY_`): variables under it that mean nothing are refused.

    Raises `StartupError` with one line that names the variable.
    """
    known = {name.upper() for name in cls.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(prefix) and name not in known)
    if unknown:
        raise StartupError(
            f"{unknown[0]} is not a setting; known under {prefix} are {', '.join(sorted(n for n in known if n.startswith(prefix)))}"
        )
    try:
        return cls()
    except ValidationError as error:
        raise StartupError(_first_line(cls, error)) from None


def _first_line(cls: type[CommonSettings], error: ValidationError) -> str:
    """A check across fields names its variable itself; what was given is left out where it is, or holds, a secret."""
    first: Any = error.errors(include_url=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    secret = "SecretStr" in str(cls.model_fields[name].annotation)
    given = "" if secret else f" (given: {first['input']!r})"
    return f"{name.upper()}: {message}{given}"


# NoDecode: pydantic-settings would read a tuple's variable as JSON.
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
