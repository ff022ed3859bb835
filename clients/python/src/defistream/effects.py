"""What the session wants done. The driver does it, in this order, and decides nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from defistream.cursors import Cursor
from defistream.errors import DefistreamError
from defistream.events import Event
from defistream.updates import Update


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand an update to a subscription. `place`: partition and offset to which its cursor moves when the application takes it."""

    subscription: int
    update: Update
    place: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Tell:
    """A subscription's cursor moves here once the application has taken what came before.

    `caught_up`: with that it has all of the past that it asked for.
    """

    subscription: int
    cursor: Cursor
    caught_up: bool = False


@dataclass(frozen=True, slots=True)
class Begin:
    """A subscription is in effect."""

    subscription: int
    room: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A subscription was refused for now: ask again (`Session.retry`) after so many seconds."""

    subscription: int
    after: float
    error: DefistreamError


@dataclass(frozen=True, slots=True)
class Finish:
    """A subscription has ended by this error."""

    subscription: int
    error: DefistreamError


@dataclass(frozen=True, slots=True)
class Ready:
    """The connection is authenticated."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the application."""

    event: Event


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Connect again after so many seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Never connect again; `error` is why."""

    error: DefistreamError


Effect = Send | Deliver | Tell | Begin | Hold | Finish | Ready | Announce | Reconnect | Stop
Effects = tuple[Effect, ...]
NOTHING: Effects = ()
