"""Logs: a constant event name plus fields, one JSON object a line; a key never, an INFO only where an operator may act."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO, cast

import structlog

Logger = structlog.stdlib.BoundLogger

_QUIET = {
    "aiokafka": logging.CRITICAL,
    "websockets": logging.ERROR,
    "faststream": logging.ERROR,
    "uvicorn": logging.ERROR,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
}
"""aiokafka logs each failed attempt to connect as an error, which `lifecycle.wait_for` and `/readyz` say in our words, once.
httpx logs each request."""


def configure_logs(service: str, *, level: str, form: str, stream: TextIO | None = None) -> None:
    """Send structlog and the libraries' logging to `stream`, by default standard output. Call once, first thing in a process."""
    stream = stream or sys.stdout
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _quieten(level)
    structlog.contextvars.bind_contextvars(service=service)


def _quieten(level: str) -> None:
    for name, lowest in _QUIET.items():
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else lowest)


def get_logger(name: str) -> Logger:
    return cast(Logger, structlog.get_logger(name))


def describe(error: BaseException) -> dict[str, Any]:
    """The fields by which logs tell of an error."""
    return {"error": type(error).__name__, "reason": str(error)}
