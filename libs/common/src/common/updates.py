"""Updates: what a producer writes to an `updates` topic, read once (docs/asyncapi.yaml).

Only the fields that a filter can see are decoded; the rest of the JSON goes to clients as the producer wrote it.
"""

from __future__ import annotations

import math
import re

import msgspec

from common.channels import CHANNEL_OF_TYPE, Channel
from common.errors import InvalidUpdate
from common.filters import normalize_exact, normalize_folded, normalize_token

MAX_UPDATE_BYTES = 256 * 1024


class Update(msgspec.Struct, frozen=True, gc=False):
    """One update, as filters see it: ids normalized, `chains` empty where it has none. `body` is the producer's JSON.

    A struct rather than a dataclass: made once an update on the hot path, a frozen dataclass costs 1.3 us more.
    """

    channel: Channel
    token_id: str | None
    protocol_id: str | None
    chains: tuple[str, ...]
    user_id: str | None
    value: float | None
    timestamp: int | None
    """Milliseconds since 1970, `None` where the producer gave none."""
    names_channel: bool
    """Whether `body` has its `channel` already."""
    body: bytes

    @property
    def entity(self) -> str | None:
        """What the update is about: the record's key where the product itself produces it."""
        by_protocol = self.channel in (Channel.TVL, Channel.PROTOCOLS)
        return (self.protocol_id if by_protocol else self.token_id) or self.protocol_id or self.user_id


class _Fields(msgspec.Struct, gc=False):
    type: str
    channel: str | None | msgspec.UnsetType = msgspec.UNSET
    tokenId: str | None = None  # noqa: N815 - the wire's names
    protocolId: str | None = None  # noqa: N815
    chain: str | list[str] | None = None
    chains: str | list[str] | None = None
    userId: str | None = None  # noqa: N815
    value: float | None = None
    timestamp: int | float | None | msgspec.UnsetType = msgspec.UNSET
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(_Fields)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = msgspec.Raw(b"null")
_FIELD = re.compile(r" - at `\$\.?(.*?)`$")


def decode_update(body: bytes, *, channel: Channel | None = None) -> Update:
    """The update in a record's value. `channel` is the topic's; `None` accepts any.

    Raises `InvalidUpdate` with the reason: more than 256 KiB, not JSON, not UTF-8, an unknown or missing type, the wrong channel, a
    field of the wrong type, a value that is not finite.
    """
    if len(body) > MAX_UPDATE_BYTES:
        raise InvalidUpdate(f"{len(body)} bytes; at most {MAX_UPDATE_BYTES} are allowed")
    if not body.isascii():
        _check_utf8(body)
    fields = _decode(body)
    known = CHANNEL_OF_TYPE.get(fields.type)
    if known is None:
        raise InvalidUpdate(f"unknown type {fields.type[:64]!r}; known are {', '.join(CHANNEL_OF_TYPE)}", field="type")
    _check_channel(fields, known, channel)
    if fields.value is not None and not math.isfinite(fields.value):
        raise InvalidUpdate("value must be a finite number", field="value")
    return Update(
        channel=known,
        token_id=normalize_token(fields.tokenId) if fields.tokenId is not None else None,
        protocol_id=normalize_folded(fields.protocolId) if fields.protocolId is not None else None,
        chains=_chains(fields),
        user_id=_user(fields.userId),
        value=fields.value,
        timestamp=_timestamp(fields.timestamp),
        names_channel=isinstance(fields.channel, str),
        body=_without_clashes(body, fields),
    )


def frame_json(update: Update, update_id: str, *, record_timestamp: int) -> bytes:
    """The JSON text that clients get: the producer's, with `id` added, and `channel` and `timestamp` where it has none.

    Spliced in front, so that the body is never encoded again. `record_timestamp` is the Kafka record's, in milliseconds.
    """
    channel = b"" if update.names_channel else b'"channel":"%b",' % update.channel.value.encode()
    timestamp = b"" if update.timestamp is not None else b'"timestamp":%d,' % record_timestamp
    return b'{%b"id":"%b",%b%b' % (channel, update_id.encode(), timestamp, update.body.lstrip()[1:])


def _decode(body: bytes) -> _Fields:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except msgspec.DecodeError as error:
        raise InvalidUpdate(f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidUpdate("not JSON: nested too deeply") from None


def _named(text: str) -> InvalidUpdate:
    """msgspec says where in its own words (`Expected `str`, got `int` - at `$.chain``); ours names the field first."""
    if "missing required field" in text:
        return InvalidUpdate("type is missing", field="type")
    found = _FIELD.search(text)
    if found is None:
        return InvalidUpdate("must be a JSON object")
    return InvalidUpdate(f"{found.group(1)}: {text[: found.start()].replace('`', '')}", field=found.group(1))


def _check_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidUpdate(f"not UTF-8 at byte {error.start}") from None


def _check_channel(fields: _Fields, known: Channel, topic_channel: Channel | None) -> None:
    if isinstance(fields.channel, str) and fields.channel != known.value:
        raise InvalidUpdate(
            f"{fields.type} belongs to channel {known.value}, not {fields.channel[:64]!r}", field="channel"
        )
    if topic_channel is not None and topic_channel is not known:
        raise InvalidUpdate(
            f"{fields.type} belongs to channel {known.value}, but came by {topic_channel.value}", field="type"
        )


def _chains(fields: _Fields) -> tuple[str, ...]:
    """`chain` and `chains` together: each may be a string or a list; either alone is usual."""
    if fields.chains is None and isinstance(fields.chain, str):
        return (normalize_folded(fields.chain),)
    given: list[str] = []
    for part in (fields.chain, fields.chains):
        if part is not None:
            given.extend([part] if isinstance(part, str) else part)
    return tuple(dict.fromkeys(map(normalize_folded, given)))


def _user(value: str | None) -> str | None:
    if value is None:
        return None
    user = normalize_exact(value)
    if not user:
        raise InvalidUpdate("userId must not be empty: it says who may see the update", field="userId")
    return user


def _timestamp(value: float | None | msgspec.UnsetType) -> int | None:
    if value is None or value is msgspec.UNSET:
        return None
    if not math.isfinite(value) or value < 0:
        raise InvalidUpdate("timestamp must be milliseconds since 1970", field="timestamp")
    return int(value)


def _without_clashes(body: bytes, fields: _Fields) -> bytes:
    """The body without what we add ourselves: a producer's own `id` becomes `sourceId`, a null `channel` or `timestamp` goes."""
    if fields.id is msgspec.UNSET and fields.channel is not None and fields.timestamp is not None:
        return body
    members = _members.decode(body)
    if "id" in members:
        members["sourceId"] = members.pop("id")
    for name in ("channel", "timestamp"):
        if members.get(name, _NULL) == _NULL:
            members.pop(name, None)
    return msgspec.json.encode(members)
