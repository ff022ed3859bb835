"""Runs the fault runs of the given seeds: `python -m tests.faults --help`. Exit status 1 when one of them found something."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
import uvloop

from tests.faults.backends import Backends, open_backends
from tests.faults.options import Options, parse
from tests.faults.report import describe, summary, write_table
from tests.faults.run import Run, keep_evidence

TITLE = "Fault runs"


async def run_all(options: Options, work: Path) -> list[dict[str, Any]]:
    """The summary of each seed's run. Logs and evidence of those that did not come out well are kept in `work`."""
    results: list[dict[str, Any]] = []
    async with open_backends(containers=options.containers, logs=work) as backends:
        for seed in options.seeds:
            folder = work / f"seed-{seed}"
            outcome = await Run(options, seed, backends, _free_database(backends), folder).run()
            print(describe(outcome), flush=True)
            results.append(summary(outcome))
            if outcome.good:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                keep_evidence(outcome, folder / "evidence.json")
            if options.results is not None:
                write_table(results, options.results, TITLE)
    return results


def _free_database(backends: Backends) -> int:
    servers = backends.servers
    for number in range(1, 512):
        with redis.Redis(servers.redis.host, servers.redis.port, number, servers.redis_password) as client:
            if client.dbsize() == 0:
                return number
    raise RuntimeError("no database of Redis is empty")


async def _until_told_to_stop(options: Options, work: Path) -> list[dict[str, Any]]:
    """SIGTERM ends it as Ctrl-C does, with all that was started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run_all(options, work)


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 when a run found something."""
    options = parse(arguments)
    # A broker that goes away is no news here.
    logging.disable(logging.CRITICAL)
    work = options.work or Path(tempfile.mkdtemp(prefix="defistream-faults-"))
    return 0 if all(each["good"] for each in uvloop.run(_until_told_to_stop(options, work))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
