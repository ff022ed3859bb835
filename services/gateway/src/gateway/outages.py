"""A backend that is away, as clients are told of it: `notice degraded`, and `recovered` when all are back. Pure.

    there -- no answer for `settle` seconds without a break --> away: degraded
    away  -- answers for `settle` seconds without a break ----> there: recovered, once none is away

So what comes and goes quickly is told to nobody. Those who are connected are told a slice at a time, each once; who comes meanwhile is told
right after it has authenticated, and nobody hears `recovered` who did not hear `degraded`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice
from typing import Protocol

from gateway.protocol import replies
from gateway.protocol.replies import Notice

TOLD_AT_A_TIME = 500
"""Connections told in one tick: about 5 ms of work, and 10,000 within 2 s."""

_KAFKA = "kafka"
_TEXTS = {
    _KAFKA: "the update stream is away: updates come late, subscribing may fail; cursors stay right",
    "redis": "a backend is away: updates flow, new connections may be refused",
}
_RECOVERED = "everything is back"


class Listener(Protocol):
    def push(self, payload: bytes) -> None: ...


class Outages:
    """`settle`: seconds. `dependencies`: by their names in `common.health.Readiness`."""

    dependencies = tuple(_TEXTS)

    def __init__(self, *, settle: float) -> None:
        self._settle = settle
        self._changing: dict[str, float] = {}
        """Dependencies that were seen otherwise than they count, and since when."""
        self._reached: set[str] = set()
        self._away: frozenset[str] = frozenset()
        self._untold: dict[Listener, None] = {}
        self._told: dict[Listener, None] = {}
        """Those who know of the present outage."""

    @property
    def away(self) -> frozenset[str]:
        return self._away

    def joined(self, listener: Listener) -> None:
        """It has authenticated."""
        if self._away:
            self._untold[listener] = None

    def left(self, listener: Listener) -> None:
        self._untold.pop(listener, None)
        self._told.pop(listener, None)

    def tick(self, away: Collection[str], everyone: Callable[[], Iterable[Listener]], *, now: float) -> None:
        """Take which dependencies do not answer at present, and tell some of those who are to be told."""
        before = self._notice()
        self._turn(away, now)
        if self._notice() != before:
            self._untold = dict.fromkeys(everyone() if self._away else self._told)
        self._tell()

    def _turn(self, away: Collection[str], now: float) -> None:
        # One that was never there belongs to a start, not to an outage.
        self._reached.update(name for name in self.dependencies if name not in away)
        turned: set[str] = set()
        for name in self._reached:
            if (name in away) == (name in self._away):
                self._changing.pop(name, None)
            elif now - self._changing.setdefault(name, now) >= self._settle:
                turned.add(name)
                del self._changing[name]
        self._away ^= turned

    def _tell(self) -> None:
        if not self._untold:
            return
        notice = self._notice()
        for listener in list(islice(self._untold, TOLD_AT_A_TIME)):
            del self._untold[listener]
            if self._away:
                self._told[listener] = None
            else:
                self._told.pop(listener, None)
            listener.push(notice)

    def _notice(self) -> bytes:
        if not self._away:
            return replies.notice(Notice.RECOVERED, _RECOVERED)
        return replies.notice(Notice.DEGRADED, _TEXTS[_KAFKA if _KAFKA in self._away else next(iter(self._away))])
