"""`python -m deploy.env_example` prints .env.example: every setting of the services with its default and meaning.

`make env-example` writes the file; a test says when it is behind the settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from datetime import timedelta

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from common.settings import CommonSettings

SERVICES = ("gateway", "router", "auth")

HEAD = """\
# All settings with their defaults; a line that is commented out says what holds without it.
# docker-compose reads a copy of this file named .env. A service started by hand takes them from its environment.
"""

EXTRA = """
# --- docker-compose

# port of this machine for wss, ended by HAProxy
#HTTPS_PORT=8443

# port of this machine for producers
#KAFKA_PORT=9094

# --- make run

# ports of the embedded servers
#LOCAL_KAFKA_PORT=9092
#LOCAL_REDIS_PORT=6379

# key of the user demo; a random one when empty
#DEMO_API_KEY=

# off: replay no recorded data
#REPLAY=on

# --- clients

# where the Python client and `defistream tail` connect, and with which key
#DEFISTREAM_URL=ws://127.0.0.1:8080/v2/realtime
#DEFISTREAM_API_KEY=
"""


def settings_of(service: str) -> type[CommonSettings]:
    """The settings class of a service: the one in its `settings` module that adds to the common ones."""
    module = importlib.import_module(f"{service}.settings")
    classes = (each for each in vars(module).values() if isinstance(each, type) and issubclass(each, CommonSettings))
    return next(each for each in classes if each is not CommonSettings)


def variables(service: str) -> dict[str, FieldInfo]:
    """Variable -> setting, of what a service has besides the common ones."""
    common = CommonSettings.model_fields
    return {name.upper(): field for name, field in settings_of(service).model_fields.items() if name not in common}


def common_variables() -> dict[str, FieldInfo]:
    """Variable -> setting, of what all services share."""
    return {name.upper(): field for name, field in CommonSettings.model_fields.items()}


def render() -> str:
    """The whole file."""
    sections = {"all services": common_variables(), **{service: variables(service) for service in SERVICES}}
    return HEAD + "".join(_section(title, fields) for title, fields in sections.items()) + EXTRA


def _section(title: str, fields: dict[str, FieldInfo]) -> str:
    return f"\n# --- {title}\n" + "".join(_lines(fields))


def _lines(fields: dict[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        yield f"\n# {field.description}\n#{name}={_text(field.default)}\n"


def _text(value: object) -> str:
    """A default as one would write it in the environment."""
    match value:
        case None:
            return ""
        case _ if value is PydanticUndefined:
            return ""
        case bool():
            return str(value).lower()
        case SecretStr():
            return value.get_secret_value()
        case timedelta():
            return _duration(value)
        case tuple() | list() | frozenset():
            return ",".join(str(each) for each in value)
    return str(value)


def _duration(value: timedelta) -> str:
    milliseconds = round(value.total_seconds() * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


if __name__ == "__main__":
    print(render(), end="")
