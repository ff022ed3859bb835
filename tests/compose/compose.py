"""docker-compose from Python, for one project whose leavings of an earlier run are swept first."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local.settings import ROOT

PROJECT = "defistream-test"
LIMIT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Compose:
    """The project under test; `variables` are what docker-compose.yml reads from the environment."""

    program: tuple[str, ...]
    variables: Mapping[str, str]

    def __call__(self, *arguments: str, text: str = "") -> str:
        """Run docker-compose and return what it prints. AssertionError carries what it complained of."""
        # A file that sets nothing, so that a developer's .env is not read; docker-compose 1.29 takes no device for one.
        command = (*self.program, "--env-file", ".env.example", "-p", PROJECT, *arguments)
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment(),
            input=text,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers."""
        return self("ps", "-q", service).split()

    def _environment(self) -> dict[str, str]:
        # What this machine uses for other tests must not leak into the containers.
        own = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG"}
        }
        return {**own, **self.variables}


def find_program() -> tuple[str, ...] | None:
    """`docker compose`, else docker-compose 1.29 or newer, else None."""
    if (
        shutil.which("docker")
        and subprocess.run(("docker", "compose", "version"), capture_output=True, check=False).returncode == 0
    ):
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else None
