"""Nodes: packed or not, they find the same; and what is gone leaves nothing."""

from __future__ import annotations

from collections import defaultdict

import pytest

from common.identifiers import Slot
from router import nodes
from router.bounds import Record
from router.nodes import FEW, Node, new_node


def record(number: int, *, low: float | None = None) -> Record:
    return Record(Slot(number % 4), b"\xa7%07d" % number, low)


def found(node: Node, values: list[str], value: float | None = None) -> set[bytes]:
    pieces: defaultdict[Slot, list[bytes]] = defaultdict(list)
    nodes.find(node, values, value, pieces)
    each = [some[at : at + 8] for all_of in pieces.values() for some in all_of for at in range(0, len(some), 8)]
    assert len(each) == len(set(each))
    return set(each)


def test_a_node_is_packed_while_it_is_small_and_finds_the_same_before_and_after():
    root, records = new_node(), [record(number, low=1.0 if number % 2 else None) for number in range(FEW * 2)]
    kinds: set[type[object]] = set()
    for count, each in enumerate(records, start=1):
        nodes.add(root, ["ta", "cb"], each)
        kinds.add(type(root.nested["ta"]))
        assert len(found(root, ["ta", "cb"], 1.0)) == count
    for count, each in enumerate(records, start=1):
        nodes.remove(root, ["ta", "cb"], each)
        assert len(found(root, ["ta", "cb"], 1.0)) == len(records) - count
        kinds.add(type(root.nested.get("ta")))
    assert kinds == {bytes, Node, type(None)}
    assert root == new_node()


def test_an_update_finds_what_lies_along_its_values_only():
    root = new_node()
    for number, path in enumerate(([], ["ta"], ["ta", "cx"], ["ta", "cy"], ["tb", "cx"], ["pa"], ["cx"])):
        nodes.add(root, path, record(number))
    assert found(root, []) == {b"\xa70000000"}
    assert found(root, ["ta", "cx"]) == {b"\xa70000000", b"\xa70000001", b"\xa70000002", b"\xa70000006"}
    assert found(root, ["tb", "pa"]) == {b"\xa70000000", b"\xa70000005"}


def test_rooms_with_bounds_are_not_found_by_an_update_without_a_value():
    root = new_node()
    nodes.add(root, ["ta"], record(1, low=-5.0))
    assert found(root, ["ta"]) == set()
    assert found(root, ["ta"], -5.0) == {b"\xa70000001"}


def test_removing_what_is_not_held_is_an_error():
    root = new_node()
    nodes.add(root, ["ta"], record(1))
    with pytest.raises(LookupError):
        nodes.remove(root, ["tb"], record(1))
