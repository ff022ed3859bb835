"""The judge finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

import pytest

from tests.faults.accounts import ClientAccount, Conflated, Received, SubscriptionAccount
from tests.faults.judge import Entry, judge

ENTITIES = ["a", "b", "a", "b", "a"]
FILTERS = {"tokenIds": ["a", "b"], "minValue": 0}


def entry(offset: int, *, channel_type: str = "price_update", key: str = "a", **fields: object) -> Entry:
    update = {"type": channel_type, "tokenId": key, "value": 1, "data": {"number": offset}, **fields}
    return Entry(0, offset, key, update, 0.0)


LOG = {"prices": [entry(offset, key=key) for offset, key in enumerate(ENTITIES)]}


def received(*offsets: int) -> list[Received]:
    return [(0, offset, offset, 0.0) for offset in offsets]


def account(
    *starts: list[Received], start: str | None = "e.0:-1", user: str = "ann", alone: bool = True
) -> ClientAccount:
    subscription = SubscriptionAccount("prices", FILTERS, alone, "e." if start == "e.0:-1" else start, list(starts))
    return ClientAccount("client", user, "first", [subscription])


def kinds(one: ClientAccount, log: dict[str, list[Entry]] = LOG) -> list[str]:
    return [finding.kind for finding in judge(log, [one]).findings]


def test_all_of_it_in_order_once_is_as_it_should_be():
    assert kinds(account(received(0, 1, 2, 3, 4))) == []


def test_what_lies_before_the_first_cursor_need_not_come_but_may():
    assert kinds(account(received(2, 3, 4), start="e.0:1")) == []
    assert kinds(account(received(1, 2, 3, 4), start="e.0:1")) == []


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ([received(0, 1, 3, 4)], ["missing"]),
        ([received(0, 1, 2, 3)], ["missing"]),
        ([received(0, 1, 2, 2, 3, 4)], ["repeated"]),
        ([received(0, 1, 2), received(2, 3, 4)], ["repeated"]),
        ([received(2, 0, 1, 3, 4)], ["disordered"]),
        ([received(1, 0, 2, 3, 4)], []),
        ([received(0, 1, 2, 3, 4, 5)], ["unwanted"]),
    ],
)
def test_each_kind_of_fault_is_found(starts: list[list[Received]], expected: list[str]):
    assert kinds(account(*starts)) == expected


def test_an_update_with_the_content_of_another_is_unwanted():
    assert kinds(account([*received(0, 1, 2, 3), (0, 4, 3, 0.0)])) == ["unwanted"]


def test_a_start_from_a_cursor_that_others_hold_back_may_repeat():
    assert kinds(account(received(0, 1, 2), received(2, 3, 4), alone=False)) == []


def test_a_private_update_of_another_is_leaked():
    log = {"prices": [entry(0, userId="ben")]}
    assert kinds(account(received(0)), log) == ["leaked"]
    assert kinds(account(received(0), user="ben"), log) == []
    assert kinds(account(received(), user="ben"), log) == ["missing"]


def test_what_the_filters_do_not_select_is_unwanted():
    assert kinds(account(received(0)), {"prices": [entry(0, value=-1)]}) == ["unwanted"]


def test_a_bad_record_must_reach_nobody():
    log = {"prices": [Entry(0, 0, "a", None, 0.0)]}
    assert kinds(account(received()), log) == []
    assert kinds(account(received(0)), log) == ["unwanted"]


def test_a_subscription_that_was_never_told_a_cursor_is_found():
    assert "unmoved" in kinds(account(received(0, 1, 2, 3, 4), start=None))


def test_superseded_updates_are_spared_as_far_as_the_client_was_told():
    one = account(received(1, 3, 4))
    one.conflated = [Conflated("prices", 2, "0:0", "0:2", 0.0)]
    verdict = judge(LOG, [one])
    assert (verdict.findings, verdict.spared) == ([], 2)
    one.conflated = [Conflated("prices", 1, "0:0", "0:0", 0.0)]
    assert kinds(one) == ["missing"]


def test_the_last_update_of_an_entity_is_never_spared():
    one = account(received(0, 1, 2, 3))
    one.conflated = [Conflated("prices", 9, "0:0", "0:4", 0.0)]
    assert kinds(one) == ["missing"]


def test_events_are_never_spared():
    log = {"alerts": [entry(offset, channel_type="alert") for offset in range(3)]}
    one = account(received(0, 2))
    one.subscriptions[0].channel = "alerts"
    one.conflated = [Conflated("alerts", 9, "0:0", "0:2", 0.0)]
    assert kinds(one, log) == ["missing"]
