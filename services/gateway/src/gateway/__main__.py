"""`python -m gateway`: start the gateway, configured by the environment alone."""

from __future__ import annotations

import argparse
import asyncio

from common.errors import StartupError
from common.lifecycle import collect_garbage_seldom, exit_with, run_service
from common.logs import configure_logs
from common.settings import load_settings
from gateway.app import build
from gateway.settings import GatewaySettings

_ABOUT = """Ends WebSockets at /v2/realtime. Configured by the environment alone;
services/gateway/README.md lists the settings."""


def main() -> None:
    argparse.ArgumentParser(prog="gateway", description=_ABOUT).parse_args()
    try:
        settings = load_settings(GatewaySettings, prefix="GATEWAY_")
    except StartupError as error:
        exit_with(error)
    configure_logs("gateway", level=settings.log_level, form=settings.log_format)

    collect_garbage_seldom()

    async def run(stop: asyncio.Event) -> None:
        await build(settings).run(stop)

    run_service(run)


if __name__ == "__main__":
    main()
