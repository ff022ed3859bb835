"""A key may do what its permissions say, and nothing else."""

import pytest

from common.channels import Channel
from common.errors import FieldError
from common.permissions import KNOWN, check_permissions, may_broadcast, may_see_user, may_subscribe


@pytest.mark.parametrize("channel", Channel)
def test_a_channel_permission_opens_that_channel_alone(channel):
    permissions = frozenset({f"channel:{channel.value}"})
    assert [other for other in Channel if may_subscribe(permissions, other)] == [channel]


@pytest.mark.parametrize("permission", ["*", "channel:*"])
def test_a_star_opens_every_channel(permission):
    assert all(may_subscribe(frozenset({permission}), channel) for channel in Channel)


@pytest.mark.parametrize("permission", ["broadcast", "users:*"])
def test_other_permissions_open_no_channel(permission):
    assert not any(may_subscribe(frozenset({permission}), channel) for channel in Channel)


@pytest.mark.parametrize("permission", KNOWN)
def test_only_broadcast_and_the_star_may_broadcast(permission):
    assert may_broadcast(frozenset({permission})) is (permission in {"broadcast", "*"})


@pytest.mark.parametrize("permission", KNOWN)
def test_only_users_and_the_star_may_see_another_user(permission):
    assert may_see_user(frozenset({permission}), "ann", "bob") is (permission in {"users:*", "*"})


def test_everyone_may_see_their_own_user():
    assert may_see_user(frozenset(), "ann", "ann")


def test_a_key_without_a_user_sees_no_user():
    assert not may_see_user(frozenset({"channel:*"}), None, "ann")


def test_known_permissions_are_accepted():
    check_permissions(KNOWN)


@pytest.mark.parametrize("permission", ["", "channel:", "channel:price", "Channel:prices", "users", "users:ann", "**"])
def test_a_permission_that_means_nothing_is_refused(permission):
    with pytest.raises(FieldError) as refused:
        check_permissions([permission])
    assert refused.value.field == "permissions"
