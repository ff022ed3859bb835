"""Which TCP ports of this machine are free, and who answers on them."""

from __future__ import annotations

import itertools
import random
import socket

from deploy.local.settings import HOST, Address, LocalError

_LOWEST, _HIGHEST = 20_000, 32_767
"""Below those that a system gives to connections that go out (from 32,768 on Linux): one could take a port that was just found free."""
_candidates = itertools.cycle(random.SystemRandom().sample(range(_LOWEST, _HIGHEST + 1), _HIGHEST + 1 - _LOWEST))
"""In an order of this process's own, each once: what was given a port may not listen yet when the next one is asked for."""


def require_free(port: int, variable: str) -> None:
    """Return when nothing listens on the port; else LocalError names the variable that moves it."""
    if not _is_free(port):
        raise LocalError(
            f"port {port} is in use; choose another one with {variable}, for example {variable}={port + 10}"
        )


def free_port(preferred: int = 0) -> int:
    """The preferred port where it is free, else any that is."""
    port = preferred
    while not port or not _is_free(port):
        port = next(_candidates)
    return port


def accepts(address: Address) -> bool:
    """Whether a connection to the address opens within a second."""
    try:
        socket.create_connection((address.host, address.port), timeout=1).close()
    except OSError:
        return False
    return True


def answers_ping(address: Address) -> bool:
    """Whether a Redis answers at the address; one that asks for a password is there too."""
    try:
        with socket.create_connection((address.host, address.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # Without it a port whose last connections are still in TIME_WAIT would pass for used.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True
