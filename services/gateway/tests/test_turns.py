"""Turns: each does a few of what waits, in order, and nothing is forgotten."""

import asyncio

import pytest

from gateway.turns import Turns


async def test_a_turn_does_a_few_in_the_order_in_which_they_came():
    done: list[int] = []
    turns = Turns(3, done.append)
    for number in range(8):
        turns.put(number)
    seen = [len(done)]
    while len(done) < 8:
        await asyncio.sleep(0)
        seen.append(len(done))
    assert (done, seen) == (list(range(8)), [3, 6, 8])


async def test_what_comes_in_a_later_turn_waits_behind_what_waits():
    done: list[str] = []
    turns = Turns(1, done.append)
    turns.put("first")
    turns.put("second")
    await asyncio.sleep(0)
    turns.put("third")
    assert (done, len(turns)) == (["first", "second"], 1)
    await asyncio.sleep(0)
    assert done == ["first", "second", "third"]


async def test_what_is_put_first_has_the_next_place():
    done: list[str] = []
    turns = Turns(1, done.append)
    for name in ("at once", "waits"):
        turns.put(name)
    turns.put("first", first=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == ["at once", "first", "waits"]


async def test_what_is_hastened_has_the_next_place_where_it_waits():
    done: list[str] = []
    turns = Turns(1, done.append)
    for name in ("at once", "waits", "hastened"):
        turns.put(name)
    turns.hasten("hastened")
    turns.hasten("at once")
    for _ in range(3):
        await asyncio.sleep(0)
    assert done == ["at once", "hastened", "waits"]


async def test_what_fails_keeps_nothing_else_from_its_turn():
    done: list[int] = []

    def serve(number: int) -> None:
        if number == 0:
            raise ValueError("none of this")
        done.append(number)

    turns = Turns(1, serve)
    with pytest.raises(ValueError, match="none of this"):
        turns.put(0)
    turns.put(1)
    await asyncio.sleep(0)
    assert done == [1]


async def test_what_is_dropped_is_told_and_not_served():
    done: list[int] = []
    turns = Turns(1, done.append)
    for number in range(3):
        turns.put(number)
    assert list(turns.drop()) == [1, 2]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done == [0]
