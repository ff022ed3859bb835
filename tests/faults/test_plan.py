"""A seed makes the same run each time, of many kinds of faults."""

from __future__ import annotations

import itertools

import pytest

from tests.faults.audience import listeners, marked_users
from tests.faults.plan import KINDS, make_plan
from tests.faults.updates import deliverable, marks, records
from tests.support.matcher import CHANNELS, reaches

MINUTES = 180.0


@pytest.mark.parametrize("seed", range(1, 21))
def test_three_minutes_have_at_least_ten_faults_of_five_kinds(seed: int):
    plan = make_plan(f"{seed}/faults", seconds=MINUTES, gap=8.0, allows=["links", "containers"])
    assert len(plan) >= 10
    assert len({fault.kind for fault in plan}) >= 5
    assert all(0 < fault.at < MINUTES for fault in plan)


def test_a_seed_makes_the_same_faults_clients_and_updates_each_time():
    assert len({tuple(make_plan("7", seconds=MINUTES, gap=8.0, allows=[])) for _ in range(3)}) == 1
    assert len({repr(listeners("7", 50)) for _ in range(3)}) == 1
    assert len({tuple(itertools.islice(records("7"), 100)) for _ in range(3)}) == 1
    assert listeners("7", 50) != listeners("8", 50)


def test_what_the_servers_do_not_allow_is_not_planned():
    plan = make_plan("7", seconds=10_000, gap=8.0, allows=[])
    assert {fault.kind for fault in plan} == {kind.name for kind in KINDS if kind.needs is None}


def test_updates_are_of_all_channels_and_some_are_private_and_some_none():
    values = [record.value for record in itertools.islice(records("7"), 3000)]
    updates = [update for update in map(deliverable, values) if update is not None]
    assert {update["type"] for update in updates} == set(CHANNELS)
    assert 0 < sum("userId" in update for update in updates) < len(updates) < len(values)


@pytest.mark.parametrize("seed", range(1, 21))
def test_each_subscription_gets_a_mark(seed: int):
    audience = listeners(f"{seed}/audience", 300)
    users = marked_users(audience)
    for listener in audience:
        for wish in listener.wishes:
            updates = [deliverable(value) for value in marks(wish.channel, users[wish.channel])]
            assert any(update is not None and reaches(update, [wish], listener.user) for update in updates), wish
