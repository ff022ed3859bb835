"""The documents under test, read once."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "docs" / "protocol.md"
_BLOCK = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


@cache
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
    return document


@cache
def asyncapi_schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        gzip.decompress((Path(__file__).parent / "asyncapi" / "3.0.0.json.gz").read_bytes())
    )
    return schema


def validator(payload: dict[str, Any]) -> Draft7Validator:
    """Of a message's payload, whose references are into the document."""
    return Draft7Validator({"allOf": [payload], "components": asyncapi()["components"]})


def json_examples(text: str) -> Iterator[Any]:
    """What a document shows in its blocks of JSON."""
    return map(json.loads, _BLOCK.findall(text))


def resolve(reference: str) -> Any:
    """Raises KeyError for a reference that leads nowhere."""
    found: Any = asyncapi()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)
