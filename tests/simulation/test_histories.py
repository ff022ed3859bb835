"""Any history of updates, subscribes, resumes, rebalances, stalls and crashes: nothing missing, twice, late, or a stranger's."""

import itertools

import pytest

from tests.simulation.mutations import ALL
from tests.simulation.routers import Failure
from tests.simulation.world import World

STEPS = 150
SEEDS = 700
"""105,000 steps, about 5 s."""
MOST_SEEDS = 20_000


def outcome(seed: int, mutation: str = "") -> str | None:
    try:
        World(seed, mutation).run(STEPS)
    except Failure as failure:
        return str(failure)
    return None


def test_every_client_gets_exactly_what_it_asked_for_through_any_history():
    failures = {seed: text for seed in range(SEEDS) if (text := outcome(seed)) is not None}
    assert failures == {}


@pytest.mark.parametrize("mutation", ALL)
def test_taking_a_rule_away_is_found(mutation):
    seeds = itertools.takewhile(lambda seed: outcome(seed, mutation) is None, range(MOST_SEEDS))
    assert sum(1 for _ in seeds) < MOST_SEEDS
