"""A router dies in the middle of a replay: whoever takes its partitions answers those who ask again."""

from __future__ import annotations

from common.deliveries import Replayed
from services.router.tests.outside import Outside
from tests.support.system import System

PUBLISHED = 30_000


async def test_a_replay_that_a_dead_router_began_is_given_whole_by_the_next(outside: Outside, system: System):
    first = system.start("router", router_recent_updates="100")
    gateway = await outside.gateway(1)
    since = await outside.ends("liquidations")
    updates = [{"type": "liquidation", "protocolId": f"p-{n % 50}", "value": n} for n in range(PUBLISHED)]
    published = await outside.publish_all("liquidations", updates)
    await gateway.want("liquidations", None, since=since)
    await gateway.until(lambda g: bool(g.items(Replayed)), "the replay has begun", limit=30)
    first.kill()

    system.start("router")
    # Under a number of its own: what was asked before may be answered as well, when Redis had not heard of it.
    _, request = await gateway.want("liquidations", None, since=since)
    answer = await gateway.answered(request, limit=60)
    before = {p: item.offset for p, item in answer.activated.items()}
    places = {update_id: tuple(map(int, update_id.split(":"))) for update_id, _ in published}
    assert set(answer.ids) == {update_id for update_id, (p, offset) in places.items() if offset < before[p]}
    assert answer.ids
