"""`python -m router`: runs one router, configured by the environment."""

from __future__ import annotations

import argparse
import asyncio

from common.errors import StartupError
from common.lifecycle import exit_with, run_service
from common.logs import configure_logs
from common.settings import load_settings
from router.app import build
from router.settings import RouterSettings


def main() -> None:
    argparse.ArgumentParser(
        prog="router", description=__doc__, epilog=_settings_help(), formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    try:
        settings = load_settings(RouterSettings, prefix="ROUTER_")
    except StartupError as error:
        exit_with(error)
    configure_logs("router", level=settings.log_level, form=settings.log_format)

    async def serve(stop: asyncio.Event) -> None:
        await build(settings).run(stop)

    run_service(serve)


def _settings_help() -> str:
    lines = [
        f"  {name.upper()}\n      {field.description} (default: {field.default})"
        for name, field in RouterSettings.model_fields.items()
    ]
    return "settings, by environment:\n" + "\n".join(lines).replace("%", "%%")


if __name__ == "__main__":
    main()
