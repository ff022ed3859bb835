"""The gateway's settings: what they mean, and each wrong one named."""

import os

import pytest

from common.errors import StartupError
from common.limits import Limits
from common.settings import CommonSettings, load_settings
from gateway.protocol.replies import Timing
from gateway.settings import GatewaySettings


@pytest.fixture
def environment(monkeypatch):
    """An environment without our variables, and a way to set some."""
    for name in list(os.environ):
        if name.startswith("GATEWAY_") or name.lower() in GatewaySettings.model_fields:
            monkeypatch.delenv(name)
    return monkeypatch.setenv


def load() -> GatewaySettings:
    return load_settings(GatewaySettings, prefix="GATEWAY_")


def test_defaults_are_the_limits_and_times_of_the_protocol(environment):
    settings = load()
    assert settings.limits() == Limits()
    assert settings.timing() == Timing()
    assert (settings.path, settings.gateway_port) == ("/v2/realtime", 8080)


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("/v2/realtime", "/v2/realtime"),
        ("wss://stream.example.com/v2/realtime", "/v2/realtime"),
        ("ws://127.0.0.1:8080/sockets/", "/sockets"),
        ("wss://stream.example.com", "/"),
        ("sockets", "/sockets"),
    ],
)
def test_of_the_endpoint_the_path_counts(environment, endpoint, path):
    environment("WEBSOCKET_API_ENDPOINT", endpoint)
    assert load().path == path


def test_variables_change_what_connections_may_do(environment):
    environment("GATEWAY_MESSAGES_PER_MINUTE", "5")
    environment("GATEWAY_MAX_MESSAGE_BYTES", "512")
    environment("GATEWAY_IDLE_TIMEOUT", "2s")
    environment("TRUSTED_ADDRESSES", "10.0.0.0/8,192.168.1.7")
    settings = load()
    assert (settings.limits().messages_per_minute, settings.limits().message_bytes) == (5, 512)
    assert settings.timing().idle_timeout == 2.0
    assert [str(network) for network in settings.networks()] == ["10.0.0.0/8", "192.168.1.7/32"]


WRONG = [
    ("GATEWAY_PORT", "http"),
    ("GATEWAY_PROCESS_PORT", "http"),
    ("GATEWAY_PORT", "65536"),
    ("GATEWAY_PROCESS_PORT", "65536"),
    ("GATEWAY_HEARTBEAT_INTERVAL", "often"),
    ("GATEWAY_IDLE_TIMEOUT", "1 minute"),
    ("GATEWAY_AUTH_TIMEOUT", "-1s"),
    ("GATEWAY_AUTH_REPLY_TIMEOUT", "x"),
    ("GATEWAY_CONNECTION_LIFETIME", "1y"),
    ("GATEWAY_MAX_CONNECTIONS", "0"),
    ("GATEWAY_CONNECTIONS_PER_MINUTE", "0"),
    ("GATEWAY_MAX_MESSAGE_BYTES", "255"),
    ("GATEWAY_MESSAGES_PER_MINUTE", "many"),
    ("GATEWAY_SUBSCRIPTION_CHANGES_PER_MINUTE", "0"),
    ("GATEWAY_MAX_SUBSCRIPTIONS", "-1"),
    ("GATEWAY_MAX_FILTER_VALUES", "0"),
    ("TRUSTED_ADDRESSES", "10.0.0.0/33"),
    ("GATEWAY_OUTBOX_BYTES", "1"),
    ("GATEWAY_REPLAY_BYTES", "1"),
    ("GATEWAY_RECENT_BYTES", "-1"),
    ("GATEWAY_REPLAY_TIMEOUT", "soon"),
    ("GATEWAY_DRAIN_TIMEOUT", "soon"),
    ("GATEWAY_COMPARISON_INTERVAL", "?"),
    ("GATEWAY_OUTAGE_SETTLE", "?"),
    ("GATEWAY_ACTIVATION_RETRY", "?"),
    ("GATEWAY_ACTIVATION_TIMEOUT", "?"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_in_one_line_that_names_the_variable(environment, name, value):
    environment(name, value)
    with pytest.raises(StartupError) as refused:
        load()
    line = str(refused.value)
    assert line.startswith(f"{name}: ")
    assert value in line
    assert "\n" not in line


def test_each_setting_of_the_gateways_own_has_a_wrong_value_here():
    free = {"GATEWAY_HOST", "WEBSOCKET_API_ENDPOINT"}
    own = {name.upper() for name in GatewaySettings.model_fields if name not in CommonSettings.model_fields}
    assert {name for name, _ in WRONG} == own - free


def test_an_unknown_variable_is_refused_by_name(environment):
    environment("GATEWAY_PROT", "9000")
    with pytest.raises(StartupError, match=r"^GATEWAY_PROT is not a setting; known .*GATEWAY_PORT"):
        load()
