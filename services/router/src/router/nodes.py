"""Nodes: the rooms of a channel as a tree, by the values that their filters give. Pure.

A room lies at the end of a *path*, one value for each attribute that its filter gives, in a fixed order, so `{tokenIds: [a, b], chains:
[c]}` at `a, c` and at `b, c`. An update looks only along its own values, and every room without bounds that it comes by matches. So
they are held as what deliveries take: for each slot, their ids, encoded, one after another.

A node with few rooms in and below it is kept packed, as MessagePack: a tenth of the objects' memory, and read in half a microsecond.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from common.identifiers import Slot
from router import bounds
from router.bounds import Bounded, Found, Record

FEW = 128
"""Most rooms of a node that is packed; one that was larger is packed again at half of it, not at each to and fro."""


class Node(msgspec.Struct, array_like=True, gc=False):
    """Rooms at the end of one path, and the nodes beyond it. `size`: rooms in all of them, a room in two slots counted twice."""

    size: int
    whole: dict[Slot, bytes]
    """Slot -> ids of its rooms without bounds."""
    bounded: Bounded
    nested: dict[str, bytes | Node]


Stored = bytes | Node

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Node).decode


def new_node() -> Node:
    return Node(0, {}, {}, {})


def add(node: Node, path: Sequence[str], record: Record) -> None:
    """Put a record where it is not yet."""
    node.size += 1
    if path:
        below = node.nested.get(path[0])
        opened = new_node() if below is None else _open(below)
        add(opened, path[1:], record)
        node.nested[path[0]] = _close(opened, below)
    elif record.bounded:
        bounds.add(node.bounded, record)
    else:
        node.whole[record.slot] = node.whole.get(record.slot, b"") + record.room


def remove(node: Node, path: Sequence[str], record: Record) -> None:
    """Raises `LookupError` or `ValueError` where it is not."""
    node.size -= 1
    if path:
        below = node.nested[path[0]]
        opened = _open(below)
        remove(opened, path[1:], record)
        if opened.size:
            node.nested[path[0]] = _close(opened, below)
        else:
            del node.nested[path[0]]
    elif record.bounded:
        bounds.remove(node.bounded, record)
    else:
        _remove_whole(node.whole, record)


def find(stored: Stored, values: Sequence[str], value: float | None, found: Found, start: int = 0) -> None:
    """Add the rooms that an update with these values, in the order of paths, comes by: once for each path."""
    node = _unpack(stored) if isinstance(stored, bytes) else stored
    for slot, rooms in node.whole.items():
        found[slot].append(rooms)
    if node.bounded and value is not None:
        bounds.around(node.bounded, value, found)
    if node.nested:
        for at in range(start, len(values)):
            below = node.nested.get(values[at])
            if below is not None:
                find(below, values, value, found, at + 1)


def _remove_whole(whole: dict[Slot, bytes], record: Record) -> None:
    rooms = whole[record.slot]
    at = rooms.index(record.room)
    left = rooms[:at] + rooms[at + len(record.room) :]
    if left:
        whole[record.slot] = left
    else:
        del whole[record.slot]


def _open(stored: Stored) -> Node:
    return _unpack(stored) if isinstance(stored, bytes) else stored


def _close(node: Node, before: Stored | None) -> Stored:
    most = FEW // 2 if isinstance(before, Node) else FEW
    return _pack(node) if node.size <= most else node
