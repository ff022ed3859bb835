"""Settings are read once, and a wrong one stops the start with one line that names its variable."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from common.errors import StartupError
from common.settings import CommaSeparated, CommonSettings, Duration, load_settings

DURATIONS = TypeAdapter(Duration)


class ServiceSettings(CommonSettings):
    service_port: int = Field(8080, ge=0, le=65535)
    service_timeout: Duration = timedelta(seconds=10)
    service_addresses: CommaSeparated = ()


@pytest.fixture
def environment(monkeypatch):
    """An environment without our variables, and a way to set some."""
    for name in ServiceSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch.setenv


def load() -> ServiceSettings:
    return load_settings(ServiceSettings, prefix="SERVICE_")


def test_defaults_serve_one_machine(environment):
    settings = load()
    assert (settings.kafka_bootstrap_servers, settings.redis_host, settings.redis_port) == (
        "127.0.0.1:9092",
        "127.0.0.1",
        6379,
    )
    assert settings.slot_lease == timedelta(seconds=15)


def test_a_variable_is_its_setting(environment):
    environment("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,other:9092")
    environment("SERVICE_PORT", "9000")
    environment("SERVICE_ADDRESSES", "10.0.0.0/8, 127.0.0.1,")
    settings = load()
    assert settings.kafka_bootstrap_servers == "kafka:9092,other:9092"
    assert settings.service_port == 9000
    assert settings.service_addresses == ("10.0.0.0/8", "127.0.0.1")


def test_an_empty_variable_means_the_default(environment):
    environment("REDIS_PORT", "")
    assert load().redis_port == 6379


def test_settings_cannot_be_changed(environment):
    with pytest.raises(ValidationError):
        setattr(load(), "redis_port", 1)  # noqa: B010 - as an assignment, it would be refused before the test runs


def test_an_unknown_variable_of_the_service_is_refused_by_name(environment):
    environment("SERVICE_PROT", "9000")
    with pytest.raises(StartupError, match=r"^SERVICE_PROT is not a setting; known under SERVICE_ are .*SERVICE_PORT"):
        load()


def test_a_variable_of_another_program_is_none_of_ours(environment):
    environment("OTHER_PORT", "x")
    load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_PORT", "http"),
        ("SERVICE_PORT", "70000"),
        ("SERVICE_TIMEOUT", "soon"),
        ("SERVICE_TIMEOUT", "-1s"),
        ("REDIS_PORT", "-1"),
        ("SLOTS", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("TOPIC_PREFIX", "a b"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_variable(environment, name, value):
    environment(name, value)
    with pytest.raises(StartupError) as refused:
        load()
    line = str(refused.value)
    assert line.startswith(f"{name}: ")
    assert value in line
    assert "\n" not in line


def test_a_secret_is_never_shown(environment):
    environment("REDIS_PASSWORD", "hunter2")
    environment("API_KEY_PEPPER", "salt-and-pepper")
    assert "hunter2" not in repr(load())
    assert "salt-and-pepper" not in repr(load())


@given(st.integers(0, 10**6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("", 1)]))
def test_a_duration_is_a_number_with_a_unit_or_of_seconds(number, unit):
    name, factor = unit
    expected = timedelta(seconds=number * factor)
    for text in (f"{number}{name}", f" {number} {name} "):
        assert abs(DURATIONS.validate_python(text) - expected) < timedelta(microseconds=2)


@pytest.mark.parametrize("text", ["", "s", "5 minutes", "-5s", "1e3", "5s5s", "nan"])
def test_another_text_is_no_duration(text):
    with pytest.raises(ValidationError):
        DURATIONS.validate_python(text)


def test_topics_follow_the_settings(environment):
    environment("TOPIC_PREFIX", "mine.")
    environment("SLOTS", "3")
    topics = load().topics()
    assert topics.deliveries == "mine.deliveries"
    assert topics.slots == 3
