"""Topics have their documented names and keys, whatever the prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.channels import STATE_CHANNELS, Channel
from common.identifiers import RoomId, Slot
from common.rooms import parse_room
from common.topics import Topics, interest_key, parse_interest_key, slot_key, stream_key

PREFIXES = st.text(st.sampled_from("abcXYZ09._-"), max_size=12)
NAMES = {
    *(f"updates.{channel.value}" for channel in Channel),
    "updates.system",
    "updates.dead-letter",
    "connections.events",
    "subscriptions.events",
    "rooms.interest",
    "auth.requests",
    "auth.replies",
    "auth.revocations",
    "deliveries",
}


@given(PREFIXES)
def test_every_topic_has_its_name_under_the_prefix(prefix):
    assert {spec.name for spec in Topics(prefix).specs()} == {prefix + name for name in NAMES}


@given(PREFIXES, st.sampled_from(Channel))
def test_the_channel_of_an_updates_topic_is_known_under_any_prefix(prefix, channel):
    topics = Topics(prefix)
    assert topics.channel_of(topics.updates(channel)) is channel


def test_other_topics_carry_no_channel():
    topics = Topics()
    others = {spec.name for spec in topics.specs()} - {topics.updates(channel) for channel in Channel}
    assert [topics.channel_of(name) for name in sorted(others)] == [None] * len(others)


def test_the_router_group_consumes_every_channel_and_the_broadcasts():
    assert set(Topics("x.").sources()) == {f"x.updates.{channel.value}" for channel in Channel} | {"x.updates.system"}


def test_a_slot_is_a_partition_of_deliveries_and_of_replies():
    specs = {spec.name: spec for spec in Topics(slots=5).specs()}
    assert specs["deliveries"].partitions == specs["auth.replies"].partitions == 5


@pytest.mark.parametrize("channel", Channel)
def test_state_is_compacted_after_a_day_and_events_are_kept_for_one(channel):
    spec = next(spec for spec in Topics().specs() if spec.name == f"updates.{channel.value}")
    day = "86400000"
    if channel in STATE_CHANNELS:
        assert spec.config == {"cleanup.policy": "compact", "min.compaction.lag.ms": day}
    else:
        assert spec.config == {"cleanup.policy": "delete", "retention.ms": day}


@given(st.integers(0, 4095), st.sampled_from(Channel), st.integers(-(10**6), 10**6))
def test_an_interest_key_tells_slot_and_room(slot, channel, bound):
    room = parse_room(channel.value, {"minValue": bound}).id
    assert parse_interest_key(interest_key(Slot(slot), room)) == (slot, room)


@given(st.integers(0, 4095))
def test_a_slot_key_tells_the_slot_alone(slot):
    assert parse_interest_key(slot_key(Slot(slot))) == (slot, None)


@given(st.sampled_from(Channel))
def test_a_stream_key_is_no_interest(channel):
    assert parse_interest_key(stream_key(channel.value)) is None


@given(st.binary(max_size=20))
def test_a_foreign_key_is_passed_over_or_names_a_slot(key):
    parsed = parse_interest_key(key)
    assert parsed is None or parsed[0] >= 0


def test_keys_are_spelled_as_documented():
    assert interest_key(Slot(7), RoomId("prices:9f3c2a7be01d4c55")) == b"7:prices:9f3c2a7be01d4c55"
    assert slot_key(Slot(7)) == b"7:"
    assert stream_key("prices") == b"stream:prices"
