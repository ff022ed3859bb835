"""operations.md knows the metrics, topics, settings and log events that there are."""

from __future__ import annotations

import re

import pytest
from prometheus_client import Counter, Gauge, Histogram

from common import metrics
from common.settings import CommonSettings
from common.topics import Topics
from tests.docs.documents import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text()
METRICS = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, Counter | Gauge | Histogram)}
EXPORTED = re.compile(r"`(?:\w+\()?((?:gateway|router|auth)_[a-z_]+)")
SOURCES = "\n".join(
    path.read_text() for folder in ("libs", "services") for path in (ROOT / folder).rglob("src/**/*.py")
)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_listed_with_its_kind_and_labels(name: str) -> None:
    labels = ", ".join(f"`{label}`" for label in METRICS[name]._labelnames)
    kind = type(METRICS[name]).__name__.lower()
    assert f"| `{name}` | {kind}{f' by {labels}' if labels else ''} |" in TEXT


def test_every_metric_that_is_spoken_of_exists() -> None:
    assert set(EXPORTED.findall(TEXT)) - set(METRICS) == set()


@pytest.mark.parametrize("name", sorted({spec.name for spec in Topics().specs()}))
def test_a_topic_is_listed(name: str) -> None:
    assert f"`{name}`" in TEXT or f"`.{name.removeprefix('updates.')}`" in TEXT


def test_log_events_that_are_spoken_of_exist() -> None:
    table = TEXT.partition("## Logs")[2].partition("## Topics")[0]
    events = {
        event
        for line in table.splitlines()
        if line.startswith("| `")
        for event in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }
    assert events
    assert {event for event in events if f'"{event}"' not in SOURCES} == set()


def test_settings_that_are_spoken_of_exist() -> None:
    known = set(re.findall(r"^    ([a-z][a-z0-9_]*): ", SOURCES, re.MULTILINE)) | set(CommonSettings.model_fields)
    named = {
        name for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[a-z]+)?`", TEXT) if not name.endswith("_")
    }
    assert {name for name in named if name.lower() not in known} == set()
