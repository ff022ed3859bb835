"""The faults of a run, drawn from its seed: when, what, for how long. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault. `lasts`: seconds, drawn evenly. `needs`: what the backends must allow."""

    name: str
    lasts: tuple[float, float]
    needs: str | None = None


KINDS = (
    Kind("kill_gateway", (0.5, 6)),
    Kind("kill_router", (0.5, 9)),
    Kind("kill_auth", (0.5, 6)),
    Kind("drain_gateway", (0.5, 3)),
    Kind("stall_gateway_short", (1, 4)),
    Kind("stall_gateway_past_its_lease", (13, 18)),
    Kind("stall_router_short", (1, 4)),
    Kind("stall_router_past_its_session", (9, 14)),
    Kind("stall_auth", (3, 8)),
    Kind("add_router", (0, 0)),
    Kind("remove_router", (0, 0)),
    Kind("cut_clients", (0, 0)),
    Kind("half_open_clients", (8, 12)),
    Kind("hold_clients", (3, 7)),
    Kind("slow_readers", (8, 20)),
    Kind("slow_applications", (5, 15)),
    Kind("restart_applications", (0, 0)),
    Kind("cut_redis", (2, 8)),
    Kind("hold_redis", (2, 8)),
    Kind("swallow_redis", (3, 10)),
    Kind("empty_redis", (0, 0)),
    Kind("cut_kafka", (1, 8), "links"),
    Kind("hold_kafka", (2, 12), "links"),
    Kind("swallow_kafka", (3, 12), "links"),
    Kind("restart_redis", (0.5, 6), "containers"),
    Kind("restart_kafka", (0.5, 6), "containers"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: seconds from the start of the run. `choice` in 0..1 picks its target, `share` how many connections it takes."""

    at: float
    kind: str
    lasts: float
    choice: float
    share: float


def make_plan(seed: str, *, seconds: float, gap: float, allows: Sequence[str]) -> list[Fault]:
    """Faults at about every `gap` seconds; no kind comes again before each has come once. The last one begins before the end."""
    draw = random.Random(seed)
    plan: list[Fault] = []
    waiting: list[Kind] = []
    at = draw.uniform(1, gap)
    while at < seconds:
        if not waiting:
            waiting = [kind for kind in KINDS if kind.needs is None or kind.needs in allows]
            draw.shuffle(waiting)
        kind = waiting.pop()
        plan.append(Fault(at, kind.name, draw.uniform(*kind.lasts), draw.random(), draw.uniform(0.05, 0.6)))
        at += draw.uniform(0.4 * gap, 1.6 * gap)
    return plan
