"""What a client says: JSON text in, one `Command` out, or a `CommandError` that names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from common.channels import STATE_CHANNELS
from common.cursor import Cursor, parse_cursor
from common.errors import DefistreamError, ErrorCode, FieldError
from common.filters import MAX_VALUES
from common.rooms import Room, parse_room

CommandId = str | int
MAX_ID_LENGTH = 64
MAX_CHANNELS = 100
MAX_KEY_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Authenticate:
    id: CommandId | None
    api_key: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """All rooms or none; equal ones are named once. With `since` there is one room."""

    id: CommandId | None
    rooms: tuple[Room, ...]
    since: Cursor | None = None
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """`room` is a room's id, as the client gave it or as its channel and filter mean it."""

    id: CommandId | None
    room: str


@dataclass(frozen=True, slots=True)
class UnsubscribeAll:
    id: CommandId | None


@dataclass(frozen=True, slots=True)
class ListSubscriptions:
    id: CommandId | None


@dataclass(frozen=True, slots=True)
class Ping:
    id: CommandId | None


Command = Authenticate | Subscribe | Unsubscribe | UnsubscribeAll | ListSubscriptions | Ping


class CommandError(DefistreamError):
    """A message that is no valid command. `id` is the command's, where it could be read."""

    def __init__(
        self, code: ErrorCode, message: str, *, field: str | None = None, command_id: CommandId | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.id = command_id


def parse_command(text: bytes, *, max_values: int = MAX_VALUES) -> Command:
    """The command in a text message. Raises `CommandError`."""
    message = _parse_object(text)
    command_id = _parse_id(message)
    try:
        return _parse(message, command_id, max_values)
    except FieldError as error:
        raise CommandError(error.code, error.message, field=error.field, command_id=command_id) from None


def _parse_object(text: bytes) -> Mapping[str, Any]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(ErrorCode.BAD_REQUEST, f"not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(message, dict):
        raise CommandError(ErrorCode.BAD_REQUEST, "a message must be a JSON object")
    return message


def _parse_id(message: Mapping[str, Any]) -> CommandId | None:
    command_id = message.get("id")
    if command_id is None:
        return None
    if isinstance(command_id, bool) or not isinstance(command_id, str | int):
        raise CommandError(ErrorCode.BAD_REQUEST, "id must be a string or an integer", field="id")
    if isinstance(command_id, str) and len(command_id) > MAX_ID_LENGTH:
        raise CommandError(ErrorCode.BAD_REQUEST, f"id must have at most {MAX_ID_LENGTH} characters", field="id")
    return command_id


def _parse(message: Mapping[str, Any], command_id: CommandId | None, max_values: int) -> Command:
    kind = message.get("type")
    if kind is None and "auth" in message:
        return Authenticate(command_id, _parse_key(message))
    match kind:
        case "authenticate" | "auth":
            return Authenticate(command_id, _parse_key(message))
        case "subscribe":
            return _parse_subscribe(message, command_id, max_values)
        case "unsubscribe":
            return Unsubscribe(command_id, _parse_target(message, max_values))
        case "unsubscribe_all":
            return UnsubscribeAll(command_id)
        case "list":
            return ListSubscriptions(command_id)
        case "ping":
            return Ping(command_id)
        case str():
            raise CommandError(
                ErrorCode.UNKNOWN_TYPE, f"unknown type {kind[:64]!r}", field="type", command_id=command_id
            )
        case None:
            raise FieldError("type is missing", field="type")
        case _:
            raise FieldError("type must be a string", field="type")


def _parse_key(message: Mapping[str, Any]) -> str:
    """`{"auth":{"apiKey":"..."}}`, or `apiKey` at the top; `api_key` is taken too, as in the query."""
    auth = message.get("auth")
    if auth is not None and not isinstance(auth, dict):
        raise FieldError("auth must be an object with apiKey", field="auth")
    holder, prefix = (auth, "auth.") if auth is not None else (message, "")
    key = holder.get("apiKey", holder.get("api_key"))
    field = f"{prefix}apiKey"
    key = key.strip() if isinstance(key, str) else key
    if key is None or key == "":
        raise CommandError(
            ErrorCode.API_KEY_REQUIRED, f"{field} is missing", field=field, command_id=_parse_id(message)
        )
    if not isinstance(key, str):
        raise FieldError(f"{field} must be a string", field=field)
    if len(key) > MAX_KEY_LENGTH:
        raise FieldError(f"{field} must have at most {MAX_KEY_LENGTH} characters", field=field)
    return key


def _parse_subscribe(message: Mapping[str, Any], command_id: CommandId | None, max_values: int) -> Subscribe:
    rooms = _parse_rooms(message, max_values)
    snapshot = message.get("snapshot")
    if snapshot is not None and not isinstance(snapshot, bool):
        raise FieldError("snapshot must be true or false", field="snapshot")
    if message.get("since") is None:
        since = None
    elif len(rooms) > 1:
        raise FieldError("a cursor is of one channel; subscribe with since to each channel alone", field="since")
    else:
        since = parse_cursor(message["since"])
    if snapshot and any(room.channel not in STATE_CHANNELS for room in rooms):
        states = ", ".join(sorted(STATE_CHANNELS))
        raise FieldError(f"only {states} have snapshots; the other channels carry events", field="snapshot")
    return Subscribe(command_id, rooms, since, bool(snapshot))


def _parse_rooms(message: Mapping[str, Any], max_values: int) -> tuple[Room, ...]:
    filters = _filters(message)
    if "channels" not in message:
        return (parse_room(_required(message, "channel"), filters, max_values=max_values),)
    channels = message["channels"]
    if "channel" in message:
        raise FieldError("give channel or channels, not both", field="channels")
    if not isinstance(channels, list) or not 1 <= len(channels) <= MAX_CHANNELS:
        raise FieldError(f"channels must be a list of 1 to {MAX_CHANNELS} channels", field="channels")
    rooms = (_room_at(number, channel, filters, max_values) for number, channel in enumerate(channels))
    return tuple({room.id: room for room in rooms}.values())


def _room_at(number: int, channel: object, filters: object, max_values: int) -> Room:
    try:
        return parse_room(channel, filters, max_values=max_values)
    except FieldError as error:
        if error.field == "channel":
            error.field = f"channels[{number}]"
        raise


def _parse_target(message: Mapping[str, Any], max_values: int) -> str:
    room = message.get("room")
    if room is None:
        return parse_room(_required(message, "channel"), _filters(message), max_values=max_values).id
    if not isinstance(room, str):
        raise FieldError("room must be a string", field="room")
    return room


def _filters(message: Mapping[str, Any]) -> object:
    """A subscribe with `filter` for `filters` would quietly select everything, so that slip is an error."""
    if "filter" in message:
        raise FieldError("unknown field filter; did you mean filters?", field="filter")
    return message.get("filters")


def _required(message: Mapping[str, Any], name: str) -> object:
    if message.get(name) is None:
        raise FieldError(f"{name} is missing", field=name)
    return message[name]
