"""protocol.md names everything that the code can say, and its examples are taken and given as shown."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from common.channels import CHANNEL_OF_TYPE, Channel
from common.errors import ErrorCode
from common.filters import Filter
from common.limits import NAMES
from common.permissions import KNOWN
from common.topics import Topics
from gateway.broadcasts import read_broadcast
from gateway.protocol.close_codes import CloseCode
from gateway.protocol.commands import parse_command
from gateway.protocol.replies import Notice
from tests.docs.documents import PROTOCOL, asyncapi, json_examples, validator

TEXT = PROTOCOL.read_text()
LINES = TEXT.splitlines()
COMMANDS = {"authenticate", "auth", "subscribe", "unsubscribe", "unsubscribe_all", "list", "ping"}
SOCKET, _, HTTP = TEXT.partition("\n## HTTP\n")
EXAMPLES = list(json_examples(SOCKET))
PAYLOADS = {
    name: asyncapi()["components"]["messages"][reference["$ref"].rsplit("/", 1)[1]]["payload"]
    for reference in asyncapi()["channels"]["realtime"]["messages"].values()
    for name in [asyncapi()["components"]["messages"][reference["$ref"].rsplit("/", 1)[1]]["name"]]
}


def rows(first: str) -> list[str]:
    """Table rows whose first cell begins with this."""
    return [line for line in LINES if line.startswith((f"| {first} |", f"| {first},"))]


def kind(example: dict[str, Any]) -> str:
    name = example.get("type", "authenticate")
    return "authenticate" if name == "auth" else name


@pytest.mark.parametrize("code", ErrorCode)
def test_each_error_code_says_when_it_comes_and_what_to_do(code: ErrorCode) -> None:
    assert len(rows(f"`{code.value}`")) == 1


@pytest.mark.parametrize("code", CloseCode)
def test_each_close_code_is_explained(code: CloseCode) -> None:
    assert [line for line in LINES if line.startswith("| ") and str(int(code)) in line.split("|")[1]]


@pytest.mark.parametrize("notice", Notice)
def test_each_notice_is_explained(notice: Notice) -> None:
    assert len(rows(f"`{notice.value}`")) == 1


@pytest.mark.parametrize("limit", NAMES)
def test_each_limit_is_explained(limit: str) -> None:
    assert [line for line in LINES if line.startswith(f"| `{limit}`")]


@pytest.mark.parametrize("name", [*PAYLOADS, *(COMMANDS - {"auth"})])
def test_each_type_of_message_is_named(name: str) -> None:
    assert f"`{name}`" in TEXT or f"### {name}" in TEXT


@pytest.mark.parametrize(("name", "channel"), CHANNEL_OF_TYPE.items())
def test_each_channel_is_named_with_its_type(name: str, channel: Channel) -> None:
    assert len([line for line in LINES if line.startswith(f"| `{channel.value}` | `{name}` |")]) == 1


@pytest.mark.parametrize("permission", KNOWN)
def test_each_permission_is_explained(permission: str) -> None:
    shown = "channel:prices" if permission.startswith("channel:") and permission != "channel:*" else permission
    assert [line for line in LINES if line.startswith(f"| `{shown}`")]


def test_each_filter_is_explained() -> None:
    every = Filter(chains=("a",), max_value=1, min_value=1, protocol_ids=("a",), token_ids=("a",), user_id="a")
    assert [name for name in every.to_json() if not rows(f"`{name}`")] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_what_its_schema_says(example: dict[str, Any]) -> None:
    validator(PAYLOADS[kind(example)]).validate(example)


@pytest.mark.parametrize("example", [example for example in EXAMPLES if kind(example) in COMMANDS], ids=str)
def test_a_command_that_is_shown_is_understood(example: dict[str, Any]) -> None:
    parse_command(orjson.dumps(example))


def test_the_broadcast_that_is_shown_is_taken() -> None:
    shown = [example for example in json_examples(HTTP) if example.get("type") == "broadcast"]
    validator({"$ref": "#/components/schemas/OperatorBroadcast"}).validate(shown[0])
    assert [record.topic for record in read_broadcast(orjson.dumps(shown[0]), Topics())] == [Topics().system]


def test_each_command_and_each_push_is_shown() -> None:
    shown = {kind(example) for example in EXAMPLES}
    assert set(PAYLOADS) - set(CHANNEL_OF_TYPE) - shown == set()
