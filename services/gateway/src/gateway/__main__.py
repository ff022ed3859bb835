"""`python -m gateway`: start the gateway, configured by the environment alone; `--processes N`: several on one port."""

from __future__ import annotations

import argparse
import asyncio
import sys

from common.clock import SystemClock
from common.errors import StartupError
from common.health import listen
from common.lifecycle import collect_garbage_seldom, exit_with, run_service, stop_with_parent
from common.logs import configure_logs
from common.settings import load_settings
from gateway.app import build
from gateway.processes import Processes
from gateway.settings import GatewaySettings

_ABOUT = """Ends WebSockets at /v2/realtime. Configured by the environment alone;
services/gateway/README.md lists the settings."""
_SLACK_SECONDS = 10.0
"""What a process may take to end on top of its drain."""


def main() -> None:
    arguments = _parser().parse_args()
    try:
        settings = load_settings(GatewaySettings, prefix="GATEWAY_")
        if arguments.processes > 1:
            _check_port(settings)
    except StartupError as error:
        exit_with(error)
    configure_logs("gateway", level=settings.log_level, form=settings.log_format)
    if arguments.processes > 1:
        sys.exit(_supervise(settings, arguments.processes))
    _serve(settings, arguments.process)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description=_ABOUT)
    parser.add_argument("--processes", type=_count, default=1, metavar="N", help="gateways on this port, one a core")
    # How the supervisor starts the one of this number: it shares the port, and ends with its parent.
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _check_port(settings: GatewaySettings) -> None:
    """Raises `StartupError` when the port is taken, which those who share it would not notice."""
    listen(settings.gateway_host, settings.gateway_port, variable="GATEWAY_PORT").close()


def _serve(settings: GatewaySettings, process: int | None) -> None:
    collect_garbage_seldom()

    async def run(stop: asyncio.Event) -> None:
        if process is not None:
            stop_with_parent(stop)
        await build(settings).run(stop, process=process)

    run_service(run)


def _supervise(settings: GatewaySettings, count: int) -> int:
    def command(number: int) -> tuple[str, ...]:
        return (sys.executable, "-m", "gateway", "--process", str(number))

    limit = settings.gateway_drain_timeout.total_seconds() + _SLACK_SECONDS
    processes = Processes(count, command, SystemClock(), limit=limit)
    status = 0

    async def run(stop: asyncio.Event) -> None:
        nonlocal status
        status = await processes.run(stop)

    run_service(run, at_once=processes.kill)
    return status


if __name__ == "__main__":
    main()
