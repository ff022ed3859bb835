"""Equal selections are one room, in every process; a channel that does not exist is refused."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.channels import Channel
from common.errors import InvalidFilter, UnknownChannel
from common.rooms import parse_room

CHANNELS = st.sampled_from(Channel)
IDS = st.lists(st.text(st.sampled_from("abcxyz-0"), min_size=1, max_size=6), min_size=1, max_size=6)


@given(CHANNELS, IDS, st.integers(-1000, 1000))
def test_equal_selections_have_one_id_however_written(channel, chains, bound):
    one = parse_room(channel.value, {"chains": chains, "minValue": bound})
    other = parse_room(
        channel.value, {"minValue": float(bound), "chains": [f" {chain.upper()} " for chain in reversed(chains)]}
    )
    assert one == other
    assert re.fullmatch(rf"{channel.value}:[0-9a-f]{{16}}", one.id)


@given(IDS, IDS)
def test_different_selections_have_different_ids(some, others):
    one, other = (parse_room("prices", {"chains": chains}) for chains in (some, others))
    assert (one.id == other.id) == (set(some) == set(others))


def test_channels_with_the_same_filter_are_different_rooms():
    assert len({parse_room(channel.value, None).id for channel in Channel}) == len(Channel)


def test_an_id_is_the_same_in_another_process():
    program = "from common.rooms import parse_room; print(parse_room('tvl', {'chains': ['Base'], 'minValue': 5}).id)"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == parse_room("tvl", {"minValue": 5.0, "chains": ["base"]}).id


def test_room_ids_stay_the_same_from_version_to_version():
    assert parse_room("prices", {"tokenIds": ["coingecko:bitcoin"]}).id == "prices:404f04b5adfac38d"
    assert parse_room("prices", None).id == "prices:01e7b720ff566d53"


def test_protocol_channel_means_protocols_with_that_id():
    short = parse_room("protocol:Aave-V3", {"chains": ["base"]})
    assert short == parse_room("protocols", {"protocolIds": ["aave-v3"], "chains": ["base"]})


@pytest.mark.parametrize("name", [None, 7, [], "", "Prices", "price", "system", "protocol:", "protocol:  "])
def test_unknown_channel_is_refused_by_name(name):
    with pytest.raises(UnknownChannel) as refused:
        parse_room(name, None)
    assert refused.value.field == "channel"


@pytest.mark.parametrize(
    ("filters", "field"),
    [({"protocolIds": ["lido"]}, "filters.protocolIds"), ([], "filters"), ({"chain": ["base"]}, "filters.chain")],
)
def test_protocol_channel_refuses_a_filter_that_cannot_go_with_it(filters, field):
    with pytest.raises(InvalidFilter) as refused:
        parse_room("protocol:aave", filters)
    assert refused.value.field == field
