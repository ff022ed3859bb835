"""Metrics keep to one scheme, so that dashboards can rely on their names."""

import re

import pytest
from prometheus_client import Counter, Gauge, Histogram

from common import metrics

LABELS = {"code", "channel", "kind", "origin", "outcome", "reason", "source", "verdict"}
DECLARED = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, Counter | Gauge | Histogram)}


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_is_named_after_its_service_and_its_unit(name):
    assert re.fullmatch(r"(gateway|router|auth)_[a-z_]+", name)
    kind = DECLARED[name]
    assert name.endswith("_total") is isinstance(kind, Counter)
    assert isinstance(kind, Histogram) or not name.endswith("_seconds")
    assert not isinstance(kind, Histogram) or name.endswith(("_seconds", "_entities"))


@pytest.mark.parametrize("name", DECLARED)
def test_the_variable_is_the_exported_name(name):
    assert next(iter(DECLARED[name].describe())).name == name.removesuffix("_total")


@pytest.mark.parametrize("name", DECLARED)
def test_a_metric_says_what_it_means_and_labels_no_ids(name):
    assert next(iter(DECLARED[name].describe())).documentation
    assert set(DECLARED[name]._labelnames) <= LABELS
