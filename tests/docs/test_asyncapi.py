"""asyncapi.yaml is valid, and says what the code says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import TypeAdapter

from common import events
from common.channels import CHANNEL_OF_TYPE, Channel
from common.errors import ErrorCode
from common.filters import Filter
from common.limits import NAMES
from common.topics import Topics
from gateway.protocol.replies import Notice
from tests.docs.documents import asyncapi, asyncapi_schema, references, resolve, validator

MESSAGES = asyncapi()["components"]["messages"]
SCHEMAS = asyncapi()["components"]["schemas"]
EXAMPLES = [
    pytest.param(message["payload"], example["payload"], id=f"{name}-{number}")
    for name, message in MESSAGES.items()
    for number, example in enumerate(message.get("examples", ()))
]
MODELS: dict[str, type[object]] = {
    "ConnectionOpened": events.ConnectionOpened,
    "ConnectionsSeen": events.ConnectionsSeen,
    "ConnectionClosed": events.ConnectionClosed,
    "SubscriptionBegun": events.Subscribed,
    "SubscriptionEnded": events.Unsubscribed,
    "Interest": events.Interest,
    "SlotTaken": events.SlotTaken,
    "StreamCreated": events.StreamCreated,
    "Decision": events.Decision,
    "AuthRequest": events.AuthRequest,
    "AuthReply": events.AuthReply,
    "Revocation": events.Revocation,
}


def problems(document: object) -> list[str]:
    return [
        f"{list(error.path)}: {error.message[:200]}"
        for error in Draft7Validator(asyncapi_schema()).iter_errors(document)
    ]


def test_the_document_is_asyncapi_3() -> None:
    assert problems(asyncapi()) == []


def test_a_broken_document_would_be_noticed() -> None:
    broken = copy.deepcopy(asyncapi())
    broken["operations"]["push"]["action"] = "emit"
    assert problems(broken)


@pytest.mark.parametrize("reference", sorted(set(references(asyncapi()))))
def test_a_reference_leads_somewhere(reference: str) -> None:
    assert resolve(reference)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_a_json_schema(name: str) -> None:
    Draft7Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize(("payload", "example"), EXAMPLES)
def test_an_example_is_what_its_schema_says(payload: dict[str, object], example: object) -> None:
    validator(payload).validate(example)


def test_every_message_of_the_websocket_has_an_example() -> None:
    names = [
        reference["$ref"].rsplit("/", 1)[1] for reference in asyncapi()["channels"]["realtime"]["messages"].values()
    ]
    assert [name for name in names if not MESSAGES[name].get("examples")] == []


def test_every_topic_is_described() -> None:
    described = {channel["address"] for channel in asyncapi()["channels"].values()}
    topics = {spec.name for spec in Topics().specs()} - {Topics().updates(channel) for channel in Channel}
    assert described == topics | {"updates.{channel}", "/v2/realtime"}


def test_names_are_those_of_the_code() -> None:
    assert asyncapi()["channels"]["updates"]["parameters"]["channel"]["enum"] == list(Channel)
    assert SCHEMAS["ChannelName"]["enum"] == list(Channel)
    assert SCHEMAS["UpdateType"]["enum"] == list(CHANNEL_OF_TYPE)
    assert SCHEMAS["Error"]["properties"]["code"]["enum"] == list(ErrorCode)
    assert SCHEMAS["Notice"]["properties"]["code"]["enum"] == list(Notice)
    assert SCHEMAS["Limits"]["required"] == list(SCHEMAS["Limits"]["properties"]) == list(NAMES)


def test_filters_are_those_of_the_code() -> None:
    every = Filter(chains=("a",), max_value=1, min_value=1, protocol_ids=("a",), token_ids=("a",), user_id="a")
    assert set(SCHEMAS["Filters"]["properties"]) == set(every.to_json())
    validator({"$ref": "#/components/schemas/Filters"}).validate(every.to_json())


@pytest.mark.parametrize(("kind", "channel"), CHANNEL_OF_TYPE.items())
def test_each_type_of_update_is_a_message_with_its_channel(kind: str, channel: Channel) -> None:
    found = [message for message in MESSAGES.values() if message["name"] == kind]
    assert [message["payload"]["allOf"][1]["properties"] for message in found] == [
        {"type": {"const": kind}, "channel": {"const": channel.value}}
    ]


@pytest.mark.parametrize("name", MODELS)
def test_a_record_between_services_has_the_fields_of_its_model(name: str) -> None:
    properties, required = described(SCHEMAS[name])
    model = TypeAdapter(MODELS[name]).json_schema()
    assert properties == set(model["properties"])
    assert required == set(model.get("required", ()))


def described(schema: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Properties and required ones, of a schema and all that it is made of."""
    if "$ref" in schema:
        return described(resolve(str(schema["$ref"])))
    parts = [described(part) for part in schema.get("allOf", ())]
    properties = set(schema.get("properties", ())).union(*(part[0] for part in parts))
    required = set(schema.get("required", ())).union(*(part[1] for part in parts))
    return properties, required
