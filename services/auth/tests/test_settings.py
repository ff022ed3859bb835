"""Settings that cannot work are refused with one line that names the variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auth.key_stores.http_answers import AnswerFields
from auth.settings import AuthSettings, load
from common.errors import StartupError
from common.settings import CommonSettings, seconds

HTTP = {"AUTH_KEY_STORE": "http", "AUTH_HTTP_URL": "https://keys.example/v1/{key_hash}"}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("AUTH_", "METRICS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def variables(monkeypatch):
    def given(**values: str) -> AuthSettings:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return load()

    return given


def test_defaults_are_those_of_the_design(variables):
    settings = variables()
    assert settings.metrics_port == 9102
    assert settings.auth_key_store == "redis"
    assert (settings.auth_cache_ttl, settings.auth_cache_negative_ttl) == (seconds("300s"), seconds("30s"))


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        ({"AUTH_CACHE_TLL": "1s"}, "AUTH_CACHE_TLL is not a setting"),
        ({"AUTH_CACHE_TTL": "soon"}, "AUTH_CACHE_TTL: must be a duration"),
        ({"AUTH_KEY_STORE": "ldap"}, "AUTH_KEY_STORE: "),
        ({"AUTH_KEY_STORE": "http"}, "AUTH_HTTP_URL: needed"),
        ({**HTTP, "AUTH_HTTP_URL": "keys.example/{key_hash}"}, "AUTH_HTTP_URL: needed"),
        ({**HTTP, "AUTH_HTTP_URL": "https://keys.example/"}, "AUTH_HTTP_URL: says nothing of the key"),
        ({**HTTP, "AUTH_HTTP_HEADER": "s3cret"}, "AUTH_HTTP_HEADER: must be `Name: value`"),
        ({"AUTH_HTTP_TIMEOUT": "5s"}, "AUTH_HTTP_TIMEOUT: must not be above AUTH_HTTP_BATCH_TIMEOUT"),
        ({"AUTH_HTTP_BATCH_TIMEOUT": "10s"}, "AUTH_HTTP_BATCH_TIMEOUT: must be below AUTH_REQUEST_MAX_AGE"),
        ({"AUTH_CACHE_TTL": "10s"}, "AUTH_CACHE_NEGATIVE_TTL: must not be above AUTH_CACHE_TTL"),
        ({"AUTH_HTTP_DEFAULT_PERMISSIONS": "read"}, "AUTH_HTTP_DEFAULT_PERMISSIONS: unknown permission 'read'"),
        ({"AUTH_HTTP_UNKNOWN_STATUSES": "404,none"}, "AUTH_HTTP_UNKNOWN_STATUSES: "),
        ({"METRICS_PORT": "99999"}, "METRICS_PORT: "),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_without_secrets(variables, given, begins):
    with pytest.raises(StartupError) as refused:
        variables(**given)
    line = str(refused.value)
    assert line.startswith(begins)
    assert "\n" not in line
    assert "s3cret" not in line


@pytest.mark.parametrize(
    "given",
    [
        HTTP,
        {**HTTP, "AUTH_HTTP_URL": "http://keys/", "AUTH_HTTP_HEADER": "X-Key-Hash: {key_hash}"},
        {**HTTP, "AUTH_HTTP_URL": "http://keys/", "AUTH_HTTP_METHOD": "POST"},
    ],
)
def test_a_key_system_may_be_told_the_hash_in_three_ways(variables, given):
    assert variables(**given).auth_key_store == "http"


def test_the_header_is_split_at_its_first_colon(variables):
    settings = variables(**HTTP, AUTH_HTTP_HEADER="Authorization: Basic a:b")
    assert settings.http_header() == ("Authorization", "Basic a:b")
    assert "Basic" not in repr(settings)


def test_a_dash_means_that_answers_have_no_such_field(variables):
    settings = variables(
        AUTH_HTTP_VALID_FIELD="-",
        AUTH_HTTP_USER_FIELD="owner.id",
        AUTH_HTTP_DEFAULT_PERMISSIONS="channel:tvl, broadcast",
    )
    assert settings.answer_fields() == AnswerFields(
        valid=None, user="owner.id", default_permissions=("channel:tvl", "broadcast")
    )


@pytest.mark.parametrize("name", sorted(set(AuthSettings.model_fields) - set(CommonSettings.model_fields)))
def test_the_readme_tells_each_setting_in_its_own_words(name):
    readme = Path(__file__).parent.with_name("README.md").read_text(encoding="utf-8")
    (row,) = (line for line in readme.splitlines() if line.startswith(f"| `{name.upper()}` |"))
    assert f" {AuthSettings.model_fields[name].description} |" in row
