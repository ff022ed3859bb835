"""The settings, .env.example and docker-compose.yml name the same variables."""

from __future__ import annotations

import yaml

from deploy.env_example import SERVICES, common_variables, render, variables
from deploy.local.settings import ROOT

INSIDE = {"GATEWAY_HOST", "GATEWAY_PORT", "GATEWAY_PROCESS_PORT", "METRICS_HOST", "METRICS_PORT"}
"""Fixed in the images, where each service has an address of its own."""


def test_env_example_says_what_the_settings_say() -> None:
    assert (ROOT / ".env.example").read_text() == render(), "run `make env-example`"


def test_docker_compose_passes_on_every_setting() -> None:
    passed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-settings"]
    settings = set(common_variables()).union(*(variables(service) for service in SERVICES))
    assert settings - set(passed) == INSIDE


def test_no_variable_belongs_to_two_services_except_the_port_of_health_and_metrics() -> None:
    names = [name for service in SERVICES for name in variables(service)]
    assert {name for name in names if names.count(name) > 1} <= {"METRICS_PORT", "METRICS_HOST"}
