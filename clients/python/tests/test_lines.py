import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defistream import Update, events
from defistream.lines import COLOURS, describe, format_json, format_line, format_time, format_value


def update(channel: str = "prices", **raw: Any) -> Update:
    return Update(channel, "0:1", raw)


BITCOIN = update(
    tokenId="bitcoin", value=67012.5, timestamp=1765220950000, data={"symbol": "BTC", "changePercent": -0.51}
)
AAVE = update(
    "tvl", protocolId="aave-v3", value=32691996376.68, chains=["ethereum", "base", "bsc", "linea", "metis"], data=None
)


def test_a_line_has_time_channel_entity_value_change_and_note():
    assert format_line(BITCOIN).split() == ["2025-12-08", "19:09:10", "prices", "bitcoin", "67,012.50", "-0.51%", "BTC"]


def test_a_line_has_the_first_chains_and_how_many_more():
    assert format_line(AAVE).split() == ["-", "tvl", "aave-v3", "32,691,996,376.68", "ethereum,base,bsc", "+2"]


def test_values_are_aligned():
    lines = [format_line(one) for one in (BITCOIN, AAVE)]
    assert lines[0].index("67,012.50") + len("67,012.50") == lines[1].index("32,691,996,376.68") + len(
        "32,691,996,376.68"
    )


@pytest.mark.parametrize(("change", "colour"), [(1.5, COLOURS.rise), (-1.5, COLOURS.fall), (0, COLOURS.dim)])
def test_changes_are_coloured(change, colour):
    assert f"{colour}{f'{change:+.2f}%'.rjust(10)}{COLOURS.end}" in format_line(
        update(data={"change": change}), COLOURS
    )


def test_a_change_that_rounds_to_nothing_is_no_fall():
    assert f"{COLOURS.dim}    +0.00%{COLOURS.end}" in format_line(update(data={"change": -0.001}), COLOURS)


def test_colours_change_no_letter():
    line = format_line(BITCOIN, COLOURS)
    for sequence in (COLOURS.dim, COLOURS.bold, COLOURS.rise, COLOURS.fall, COLOURS.end):
        line = line.replace(sequence, "")
    assert line == format_line(BITCOIN)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (1, "1"),
        (-3.25, "-3.25"),
        (0.029931, "0.029931"),
        (2.715e-05, "0.00002715"),
        (1e-12, "1e-12"),
        (1234567.891, "1,234,567.89"),
        (1e18, "1e+18"),
    ],
)
def test_values_read_well(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize(("timestamp", "text"), [(None, "-"), (0, "1970-01-01 00:00:00"), (10**20, str(10**20))])
def test_times_read_well(timestamp, text):
    assert format_time(timestamp) == text


@given(st.text(), st.text(), st.text())
def test_what_an_update_says_cannot_control_the_terminal(token, chain, name):
    line = format_line(update(tokenId=token, chain=chain, data={"name": name}))
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)


def test_json_is_one_line_as_sent():
    raw: dict[str, Any] = {"type": "price_update", "data": {"name": "a\nb", "n": 1.5}, "extra": None}
    assert json.loads(format_json(update(**raw))) == raw
    assert "\n" not in format_json(update(**raw))


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (events.Connected("c1", "ann"), "connected as ann (connection c1)"),
        (events.Subscribed("tvl", "tvl:9f", {"minValue": 1}, None), 'subscribed to tvl:9f {"minValue": 1}'),
        (events.Reconnecting(1.26, 4000, "draining"), "reconnecting in 1.3 s (4000 draining)"),
        (events.Reconnecting(1.26, None, "refused"), "reconnecting in 1.3 s (refused)"),
        (events.Resubscribing("tvl", 2.0, "unavailable", "not now"), "subscribing to tvl again in 2.0 s (not now)"),
        (
            events.Gap("tvl", "tvl:9f", "a.", "b."),
            "updates of tvl:9f may be missing",
        ),
        (events.Notice("expiring", "in \x1b[2J 60 s", {}), "notice expiring: in  [2J 60 s"),
        (events.Broadcast(None, {"text": "hi"}), 'broadcast to everyone: {"text": "hi"}'),
        (events.Broadcast("tvl", 1), "broadcast to tvl: 1"),
        (events.Conflated("tvl", 3, None, None), "too slow: 3 updates of tvl were replaced by newer ones"),
        (events.Complaint("rate_limited", "m"), None),
    ],
)
def test_events_are_told_in_a_line(event, text):
    assert describe(event) == text
