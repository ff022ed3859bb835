"""The arguments of the command `auth`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from auth.cli import given_limits, parse_arguments

CREATE = ("keys", "create", "--user", "alice", "--permission", "*")


@pytest.mark.parametrize("arguments", [(), ("serve",)])
def test_without_arguments_it_is_the_service(arguments):
    assert parse_arguments(arguments).command == "serve"


def test_a_key_is_made_of_what_is_given():
    given = parse_arguments(
        (
            "keys",
            "create",
            "--user",
            " alice ",
            "--permission",
            "channel:tvl",
            "--permission",
            "broadcast",
            "--expires",
            "30d",
        )
    )
    assert (given.command, given.user, given.permissions) == ("create", "alice", ["channel:tvl", "broadcast"])
    assert given.expires == timedelta(days=30)


def test_a_limit_overrules_unlimited():
    given = parse_arguments((*CREATE, "--unlimited", "--limit", "subscriptions=7", "--limit", "connections=none"))
    assert given_limits(given) == {
        "messagesPerMinute": None,
        "subscriptionChangesPerMinute": None,
        "subscriptions": 7,
        "connections": None,
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("keys",), "ACTION"),
        (("key",), "invalid choice"),
        (("keys", "create", "--permission", "*"), "--user"),
        (("keys", "create", "--user", "alice"), "--permission"),
        (("keys", "create", "--user", "  ", "--permission", "*"), "must not be empty"),
        (("keys", "create", "--user", "alice", "--permission", "channel:news"), "unknown permission 'channel:news'"),
        ((*CREATE, "--expires", "soon"), "must be a duration"),
        ((*CREATE, "--expires", "0"), "must be above 0"),
        ((*CREATE, "--expires", "99999999999999d"), "--expires"),
        ((*CREATE, "--limit", "speed=9"), "unknown limit 'speed'"),
        ((*CREATE, "--limit", "subscriptions=0"), "above 0"),
        ((*CREATE, "--limit", "subscriptions=many"), "NAME=NUMBER"),
        ((*CREATE, "--limit", "messageBytes=none"), "messageBytes"),
        (("keys", "show"), "either an ID or --key-stdin"),
        (("keys", "revoke", "abcd", "--key-stdin"), "either an ID or --key-stdin"),
    ],
)
def test_wrong_arguments_end_it_with_2_and_say_what_is_wrong(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [(), ("keys",), ("keys", "create"), ("keys", "list"), ("keys", "show"), ("keys", "revoke")]
)
def test_every_level_helps(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments((*arguments, "--help"))
    assert ended.value.code == 0
    assert "usage: auth" in capsys.readouterr().out
