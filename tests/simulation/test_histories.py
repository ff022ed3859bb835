"""Any history of updates, subscribes, resumes, rebalances, stalls and crashes: nothing missing, twice, late, or a stranger's."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.simulation import scenes
from tests.simulation.mutations import MUTATIONS, STEADY, Mutation, mutated
from tests.simulation.truth import Failure
from tests.simulation.world import FAULTS, STEPS, World

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


def outcome(seed: int, mutation: Mutation | None = None) -> str | None:
    """What went wrong in a history, `None` for nothing."""
    world = World(random.Random(seed), mutation.faults if mutation is not None else None)
    try:
        if mutation is not None and mutation.scene is not None:
            mutation.scene(world)
        else:
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


@pytest.mark.parametrize(
    "scene",
    [
        scenes.answered_by_a_former_owner,
        scenes.emptied_in_between,
        scenes.reaped_and_emptied,
        scenes.reaped_before_it_reads,
        scenes.put_back_between_checkpoints,
    ],
)
@pytest.mark.parametrize("seed", range(6))
def test_what_chance_seldom_draws_loses_nothing(scene, seed):
    world = World(random.Random(seed))
    scene(world)
    world.end()
    world.close()


@pytest.mark.parametrize("name", MUTATIONS)
def test_taking_a_rule_away_is_found(name):
    mutation = MUTATIONS[name]
    with mutated(mutation):
        seeds = itertools.takewhile(lambda seed: outcome(seed, mutation) is None, range(MOST_HISTORIES))
        assert sum(1 for _ in seeds) < MOST_HISTORIES


class Histories(RuleBasedStateMachine):
    """The same steps, chosen by hypothesis, which makes what it finds as short as it can."""

    @initialize(chance=st.randoms(use_true_random=False))
    def begin(self, chance: random.Random) -> None:
        self.world = World(chance, dict.fromkeys(FAULTS, 0))

    @rule(name=st.sampled_from([*STEPS, *STEPS, *FAULTS]), times=st.integers(1, 4))
    def step(self, name: str, times: int) -> None:
        for _ in range(times):
            self.world.step(name)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.end()
            finally:
                self.world.close()


def test_the_shortest_history_in_which_something_goes_wrong_is_none():
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=25,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
