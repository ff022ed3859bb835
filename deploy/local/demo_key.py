"""The demo key: made by the same command that operators use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.local.services import environment
from deploy.local.settings import LocalError, LocalSettings

LIMIT_SECONDS = 60


def create(settings: LocalSettings) -> str:
    """A key of user `demo` that may do all: the one in DEMO_API_KEY, else a random one. Needs Redis, nothing more."""
    arguments = ("--user", "demo", "--permission", "*", "--unlimited", "--json")
    given = () if settings.demo_key is None else ("--key-stdin",)
    made = json.loads(_auth(settings, "create", *arguments, *given, text=settings.demo_key or ""))
    key: str = settings.demo_key or made["key"]
    return key


def _auth(settings: LocalSettings, *arguments: str, text: str = "") -> str:
    program = str(Path(sys.executable).with_name("auth"))
    variables = {**os.environ, **environment(settings)}
    try:
        done = subprocess.run(
            (program, "keys", *arguments), env=variables, input=text, capture_output=True, text=True,
            timeout=LIMIT_SECONDS, check=True, start_new_session=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise LocalError(f"the demo key could not be made: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise LocalError(
            f"the demo key was not made within {LIMIT_SECONDS} s; is Redis at {settings.redis}?"
        ) from error
    return done.stdout
