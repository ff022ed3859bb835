import pytest

from defistream.arguments import DEFAULT_URL, parse_arguments

KEY = {"DEFISTREAM_API_KEY": "ds_key"}


def test_the_defaults_are_prices_of_the_local_gateway():
    options = parse_arguments(["tail"], KEY)
    assert (options.url, options.api_key, options.channels) == (DEFAULT_URL, "ds_key", ("prices",))
    assert (options.reconnect, options.json, options.count) == (True, False, None)


def test_the_environment_says_where_and_the_command_line_wins():
    environment = {"DEFISTREAM_URL": "ws://a", "DEFISTREAM_API_KEY": "one"}
    assert parse_arguments(["tail"], environment).url == "ws://a"
    options = parse_arguments(["tail", "--url", "wss://b", "--api-key", "two"], environment)
    assert (options.url, options.api_key) == ("wss://b", "two")


def test_filters_may_be_repeated():
    given = "--channel tvl --channel protocols --chain a --chain b --protocol x --protocol y --token t --min-value 1_000 --max-value 2e6"
    options = parse_arguments(["tail", *given.split(), "--user", "u"], KEY)
    assert (options.channels, options.chains) == (("tvl", "protocols"), ("a", "b"))
    assert (options.protocols, options.tokens, options.user) == (("x", "y"), ("t",), "u")
    assert (options.min_value, options.max_value) == (1000.0, 2e6)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required"),
        (["head"], "invalid choice"),
        (["tail", "--channel", "weather"], "unknown channel 'weather'"),
        (["tail", "--channel", "protocol:x", "--protocol", "y"], "either"),
        (["tail", "--url", "http://x"], "ws://"),
        (["tail", "--channel", "alerts", "--snapshot"], "carries events"),
        (["tail", "--count", "0"], "at least 1"),
        (["tail", "--count", "x"], "invalid count value"),
        (["tail", "--min-value", "nan"], "finite"),
        (["tail", "--min-value", "x"], "invalid number value"),
        (["tail", "--min-value", "2", "--max-value", "1"], "above"),
        (["tail", "--chain", " "], "chains"),
        (["tail", "--ca", "/nowhere"], "certificates"),
        (["tail", "--api-key", ""], "DEFISTREAM_API_KEY"),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments, KEY)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["tail", "--help"]])
def test_help_is_no_error(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments, {})
    assert caught.value.code == 0
    assert "tail" in capsys.readouterr().out


def test_help_does_not_show_the_key(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["tail", "--help"], KEY)
    assert "ds_key" not in capsys.readouterr().out
