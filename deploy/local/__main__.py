"""`python -m deploy.local` is `make run`; `python -m deploy.local services` is `make services`."""

from __future__ import annotations

import contextlib
import signal
import sys

from deploy.local import state
from deploy.local.console import complain, say
from deploy.local.processes import die_with_parent
from deploy.local.settings import LocalError, read
from deploy.local.signals import StopFlag, StopRequested
from deploy.local.supervisor import Supervisor


def main(arguments: list[str]) -> int:
    """Exit status: 0 when ended by the user, 1 when a part failed, 2 when it could not start as told."""
    if arguments == ["services"]:
        return list_services()
    if "--end-with-parent" in arguments and (tie := die_with_parent(signal.SIGTERM)) is not None:
        tie()
    return run()


def run() -> int:
    """Start, watch, and end in order whatever happens."""
    stop = StopFlag()
    try:
        supervisor = Supervisor(read(), stop)
        supervisor.check_ports()
    except LocalError as error:
        complain(str(error))
        return 2
    try:
        with contextlib.suppress(StopRequested):
            say("Starting defistream:")
            say(supervisor.start())
            supervisor.watch()
    except LocalError as error:
        complain(str(error))
        return 1
    finally:
        say("\nEnding:")
        supervisor.stop()
        say("Nothing is left running.")
    return 0


def list_services() -> int:
    """Print the running processes."""
    entries = list(state.running())
    if not entries:
        say("Nothing is running; `make run` starts it.")
        return 0
    say(f"{'SERVICE':<9}{'PID':>8}  {'WHERE':<24}LOG")
    for entry in entries:
        say(f"{entry.name:<9}{entry.pid:>8}  {entry.where:<24}{entry.log}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
