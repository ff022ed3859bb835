"""The command `defistream`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from defistream.arguments import parse_arguments
from defistream.tail import run


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the command line."""
    status = run(parse_arguments(sys.argv[1:] if arguments is None else arguments, os.environ))
    _abandon_broken_output()
    return status


def _abandon_broken_output() -> None:
    """Where nobody reads standard output any more, the interpreter's own flush at exit would complain."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
