"""Any history of updates, subscribes, resumes, rebalances, stalls and crashes: nothing missing, twice, late, or a stranger's."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator, Mapping

import pytest
import structlog

from tests.simulation.mutations import MUTATIONS, STEADY, mutated
from tests.simulation.truth import Failure
from tests.simulation.world import World

LENGTH = 400
HISTORIES = 260
"""104,000 steps."""
MOST_HISTORIES = 100
"""In which a mutation must be found; with a seed that finds it long before."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Processes that die and stall by the hundred have much to say, which takes longer than all else."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with mutated(STEADY):
        yield
    structlog.reset_defaults()


def outcome(seed: int, faults: Mapping[str, int] | None = None) -> str | None:
    """What went wrong in a history, `None` for nothing."""
    world = World(random.Random(seed), faults)
    try:
        for _ in range(LENGTH):
            world.step()
        world.end()
    except Failure as failure:
        return str(failure)
    finally:
        world.close()
    return None


@pytest.mark.parametrize("part", range(4))
def test_every_client_gets_exactly_what_it_asked_for_through_any_history(part):
    seeds = range(part, HISTORIES, 4)
    assert {seed: text for seed in seeds if (text := outcome(seed)) is not None} == {}


@pytest.mark.parametrize("name", MUTATIONS)
def test_taking_a_rule_away_is_found(name):
    mutation = MUTATIONS[name]
    with mutated(mutation):
        seeds = itertools.takewhile(lambda seed: outcome(seed, mutation.faults) is None, range(MOST_HISTORIES))
        assert sum(1 for _ in seeds) < MOST_HISTORIES
