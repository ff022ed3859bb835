"""The command `auth`, and `python -m auth`: without arguments the service, with `keys` the management of keys."""

from __future__ import annotations

import asyncio
import sys

from auth.cli import parse_arguments
from auth.key_commands import run_command
from auth.settings import AuthSettings, load
from common.errors import StartupError
from common.lifecycle import exit_with, run_service
from common.logs import configure_logs


def main() -> None:
    arguments = parse_arguments(sys.argv[1:])
    try:
        settings = load()
    except StartupError as error:
        exit_with(error)
    if arguments.command == "serve":
        serve(settings)
    else:
        configure_logs("auth", level="ERROR", form="console", stream=sys.stderr)
        sys.exit(asyncio.run(run_command(settings, arguments)))


def serve(settings: AuthSettings) -> None:
    """Run the service until SIGTERM or SIGINT."""
    # The command need not wait half a second for what only the service uses.
    from auth.app import build  # noqa: PLC0415

    configure_logs("auth", level=settings.log_level, form=settings.log_format)

    async def run(stop: asyncio.Event) -> None:
        await build(settings).run(stop)

    run_service(run)


if __name__ == "__main__":
    main()
