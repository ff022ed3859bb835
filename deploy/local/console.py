"""What `make run` says: one line a step, and the block to read when all is up."""

from __future__ import annotations

import contextlib
import sys

from deploy.local.settings import LocalSettings

BANNER = """
defistream is up.

  endpoint   ws://127.0.0.1:{port}/v2/realtime
  API key    {key}   (user demo, all permissions, no rate limits)

Watch live prices of one token in a second terminal, in this folder:

  .venv/bin/defistream tail --channel prices --token monero --key {key}{url}

{replay}
Logs are in {folder}; `make services` lists the processes; metrics and health: http://127.0.0.1:{port}/metrics and /readyz
Ctrl-C ends it all.
"""
REPLAY_ON = """Recorded prices of eight tokens and locked values of 6,600 protocols are being replayed. More to try:
  --channel prices --min-value 0.01 · --channel tvl --chain ethereum · --channel tvl --protocol lido --json
"""
REPLAY_OFF = "Nothing is replayed (REPLAY=off): no update comes until you produce one.\n"


def say(text: str) -> None:
    """Print at once. A terminal that is gone is no reason not to end in order."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def step(name: str, text: str) -> None:
    """One line on one part of the system."""
    say(f"  {name:<8} {text}")


def complain(text: str) -> None:
    """One line on what went wrong."""
    with contextlib.suppress(OSError):
        print(f"make run: {text}", file=sys.stderr, flush=True)


def banner(settings: LocalSettings, key: str, folder: str) -> str:
    """The block that says where the system is and what to paste."""
    default = settings.gateway_port == 8080
    return BANNER.format(
        port=settings.gateway_port,
        key=key,
        url="" if default else f" --url ws://127.0.0.1:{settings.gateway_port}/v2/realtime",
        replay=REPLAY_ON if settings.replay else REPLAY_OFF,
        folder=folder,
    )
