"""The process's limit of open files: raised as far as it may be, and checked, before the first socket needs it."""

from __future__ import annotations

import resource

from common.errors import StartupError

RESERVED_FILES = 200
"""For Kafka, Redis, HTTP, logs and what Python itself has open."""


def raise_file_limit(connections: int) -> None:
    """Raises `StartupError` with the number needed when `connections` sockets cannot be held."""
    needed = connections + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise StartupError(
            f"GATEWAY_MAX_CONNECTIONS: {connections} connections need {needed} open files, but the limit is {hard}; "
            f"raise it (ulimit -n {needed}) or set at most {hard - RESERVED_FILES}"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
