"""Random filters and updates over a few values, so that they meet often; and the plain matcher that the index must agree with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from common.channels import Channel
from common.events import Interest
from common.filters import parse_filter
from common.identifiers import FencingEpoch, GatewayId, Slot
from common.rooms import Room, room_of
from common.updates import Update

TOKENS = ["coingecko:bitcoin", "coingecko:ether", "ethereum:0xabc", "base:0xdef"]
PROTOCOLS = ["aave", "lido", "uniswap"]
CHAINS = ["ethereum", "base", "solana"]
USERS = ["alice", "bob"]
VALUES = [-2.5, -1, 0, 0.5, 1, 2, 1e9]

CHANNELS = st.sampled_from([Channel.PRICES, Channel.LIQUIDATIONS])


def _some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def _in_order(given: dict[str, Any]) -> bool:
    return bool(given.get("minValue", float("-inf")) <= given.get("maxValue", float("inf")))


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "tokenIds": _some(TOKENS),
        "protocolIds": _some(PROTOCOLS),
        "chains": _some(CHAINS),
        "userId": st.sampled_from(USERS),
        "minValue": st.sampled_from(VALUES),
        "maxValue": st.sampled_from(VALUES),
    },
).filter(_in_order)


def _maybe(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


UPDATES = st.builds(
    Update,
    channel=CHANNELS,
    token_id=_maybe(TOKENS),
    protocol_id=_maybe(PROTOCOLS),
    chains=st.lists(st.sampled_from(CHAINS), max_size=3, unique=True).map(tuple),
    user_id=_maybe(USERS),
    value=_maybe(VALUES),
    timestamp=st.none(),
    names_channel=st.just(False),
    body=st.just(b"{}"),
)


def room(channel: Channel, filters: Mapping[str, Any]) -> Room:
    return room_of(channel, parse_filter(filters))


def interest(
    the_room: Room, *, slot: int = 0, epoch: int = 1, gateway: str = "gw", request: int = 1, **past: Any
) -> Interest:
    """What a gateway writes of a room that it wants; `past`: what it missed of it."""
    return Interest(
        slot=Slot(slot),
        epoch=FencingEpoch(epoch),
        gateway=GatewayId(gateway),
        room=the_room.id,
        channel=the_room.channel,
        filter=the_room.filter.to_json(),
        request=request,
        **past,
    )


def matches(filters: Mapping[str, Any], update: Update) -> bool:
    """Whether an update matches, said as plainly as the documentation says it."""
    for name, wanted in filters.items():
        if name == "tokenIds" and update.token_id not in wanted:
            return False
        if name == "protocolIds" and update.protocol_id not in wanted:
            return False
        if name == "chains" and not any(chain in wanted for chain in update.chains):
            return False
        if name == "userId" and update.user_id != wanted:
            return False
        if name == "minValue" and (update.value is None or update.value < wanted):
            return False
        if name == "maxValue" and (update.value is None or update.value > wanted):
            return False
    return True
