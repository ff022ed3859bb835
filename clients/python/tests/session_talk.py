"""What a test says to a session, and reads from its effects."""

import json
from typing import Any

from defistream.backoff import Backoff
from defistream.effects import Deliver, Effects, Send
from defistream.filters import make_filters
from defistream.session import Session

EVERYTHING = make_filters()


def make_session(**options: Any) -> Session:
    return Session("ds_key", backoff=Backoff(first=1.0, cap=8.0, draw=lambda: 1.0), **options)


def ready_session(**options: Any) -> Session:
    session = make_session(**options)
    come_back(session)
    return session


def come_back(session: Session) -> Effects:
    session.connected()
    hear(session, type="welcome", connectionId="c1", heartbeatInterval=15000)
    return hear(session, type="authenticated", user="ann")


def hear(session: Session, **frame: Any) -> Effects:
    return session.received(json.dumps(frame))


def confirm(session: Session, command: int = 1, room: str = "prices:r1", cursor: str = "k3f9.0:100") -> Effects:
    return hear(session, type="subscribed", id=command, channel="prices", room=room, cursor=cursor)


def end_past(session: Session, command: int, cursor: str, **fields: Any) -> Effects:
    end = {"type": "replay_end", "id": command, "room": "prices:r1", "count": 0, "cursor": cursor, **fields}
    return hear(session, **end)


def publish(session: Session, offset: int, **fields: Any) -> Effects:
    return hear(session, type="price_update", channel="prices", id=f"0:{offset}", **fields)


def places(effects: Effects) -> list[tuple[int, int] | None]:
    """Where the cursors of those move that get an update."""
    return [effect.place for effect in effects if isinstance(effect, Deliver)]


def sent(effects: Effects) -> list[dict[str, Any]]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, Send)]


def delivered(effects: Effects) -> list[tuple[int, str]]:
    return [(effect.subscription, effect.update.id) for effect in effects if isinstance(effect, Deliver)]


def subscribed(
    session: Session, number: int, *, command: int | None = None, room: str = "prices:r1", **filters: Any
) -> None:
    session.subscribe(number, "prices", make_filters(**filters))
    confirm(session, command or number, room)
