"""A Redis in memory, as far as it is used for generations, checkpoints, interest and leases; the scripts said once more in Python.

A call takes turns of the caller's loop, on its way there and back: anything may happen before it, and before its answer is heard.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib.resources import files
from typing import Any, Self

from common.clock import ManualClock
from common.identifiers import FencingEpoch
from common.redis import RedisConnectionError, WatchError

Script = Callable[[Sequence[str], Sequence[Any]], Any]
_SCANNED = 2


class MemoryRedis:
    """`away`: every call fails."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._epochs = 0
        self.numbers: dict[str, int] = {}
        self.hashes: dict[str, dict[str, str]] = {}
        self.changes: Counter[str] = Counter()
        """How often each hash was changed otherwise than by a script, for those who watch it."""
        self.away = False
        self.save()
        routers: dict[str, Script] = {
            "next_generation": self._next_generation,
            "checkpoint_claimed": self._claimed,
            "checkpoint_written": self._written,
            "room_changed": self._room_changed,
            "slot_taken": self._slot_taken,
            "slots_expired": self._slots_expired,
            "slot_reaped": self._slot_reaped,
            "slot_emptied": self._slot_emptied,
        }
        gateways: dict[str, Script] = {"confirm_slot": self._confirm_slot, "renew_slot": self._renew_slot}
        self._scripts = {
            files(package).joinpath("lua", f"{name}.lua").read_text(): script
            for package, scripts in (("router", routers), ("gateway", gateways))
            for name, script in scripts.items()
        }

    def register_script(self, text: str) -> Any:
        """One that is not said in Python fails when it is called."""
        script = self._scripts.get(text)

        async def call(*, keys: Sequence[str], args: Sequence[Any] = (), client: Pipeline | None = None) -> Any:
            assert script is not None
            if client is None:
                return await self.answer(lambda: script(keys, args))
            client.queue(lambda: script(keys, args))
            return None

        return call

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert transaction
        return Pipeline(self)

    async def answer(self, work: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        if self.away:
            raise RedisConnectionError("away")
        answer = work()
        await asyncio.sleep(0)
        return answer

    def save(self) -> None:
        """What it comes back with when it is restarted."""
        self._saved = deepcopy((self.numbers, self.hashes))

    def restart(self) -> None:
        """What was written since it was saved is lost."""
        self._begin_with(*deepcopy(self._saved))

    def empty(self) -> None:
        self._begin_with({}, {})

    def _begin_with(self, numbers: dict[str, int], hashes: dict[str, dict[str, str]]) -> None:
        self.changes.update(self.hashes.keys() | hashes.keys())
        self.numbers, self.hashes = numbers, hashes

    def lease(self, key: str, gateway: str, seconds: float) -> FencingEpoch:
        """The slot is the gateway's from now on, whoever had it. Epochs rise also when all is emptied, as the time does."""
        self._epochs += 1
        self.put(key, {"gateway": gateway, "epoch": str(self._epochs), "expiresAt": str(self._after(seconds * 1000))})
        return FencingEpoch(self._epochs)

    async def hscan(self, key: str, cursor: int, *, count: int) -> tuple[int, dict[str, str]]:
        """Two fields at a time, however many are asked for."""

        def part() -> tuple[int, dict[str, str]]:
            fields = list(self.hashes.get(key, {}).items())
            end = cursor + _SCANNED
            return (end if end < len(fields) else 0), dict(fields[cursor:end])

        found: tuple[int, dict[str, str]] = await self.answer(part)
        return found

    async def hmget(self, key: str, *fields: str) -> Any:
        return await self.answer(lambda: self.read(key, *fields))

    async def hgetall(self, key: str) -> Any:
        return await self.answer(lambda: dict(self.hashes.get(key, {})))

    async def smembers(self, _key: str) -> Any:
        """No connection is on record here."""
        return await self.answer(set)

    def read(self, key: str, *fields: str) -> list[str | None]:
        held = self.hashes.get(key, {})
        return [held.get(field) for field in fields]

    def put(self, key: str, fields: Mapping[str, str]) -> None:
        self.changes[key] += 1
        self.hashes.setdefault(key, {}).update(fields)

    def _next_generation(self, keys: Sequence[str], args: Sequence[int]) -> list[int]:
        for key, floor in zip(keys, args, strict=True):
            self.numbers[key] = max(self.numbers.get(key, 0) + 1, floor)
        return [self.numbers[key] for key in keys]

    def _claimed(self, keys: Sequence[str], args: Sequence[int]) -> list[str] | None:
        held = self.hashes.setdefault(keys[0], {})
        if int(held.get("generation", "0")) <= args[0]:
            held["generation"] = str(args[0])
        return [held["stream"], held["offset"]] if "stream" in held and "offset" in held else None

    def _written(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        generation, begin, stream, has, upto, removed = args[:6]
        held = self.hashes.setdefault(keys[0], {})
        known = int(held.get("generation", "0"))
        if known > generation:
            return 0
        if begin == "whole":
            held.clear()
        elif known < generation or held.get("offset", "") != str(has):
            return -1
        held.update(generation=str(generation), stream=stream)
        for field in args[6 : 6 + removed]:
            held.pop(field, None)
        pairs = args[6 + removed :]
        held.update(zip(pairs[::2], pairs[1::2], strict=True))
        if upto != "":
            held["offset"] = str(upto)
        return 1

    def _room_changed(self, keys: Sequence[str], args: Sequence[Any]) -> None:
        (holder, rooms), (room, epoch, gateway, record) = keys, args
        newest, known = self._holder(holder)
        if epoch != "" and epoch < newest:
            return
        if not record:
            self.hashes.get(rooms, {}).pop(room, None)
        elif (epoch, "") != (newest, known):
            if epoch > newest:
                self._slot_taken(keys, [epoch, gateway])
            self.hashes.setdefault(rooms, {})[room] = record.decode()

    def _slot_taken(self, keys: Sequence[str], args: Sequence[Any]) -> None:
        (holder, rooms), (epoch, gateway) = keys, args
        newest, _ = self._holder(holder)
        if epoch >= newest:
            if epoch > newest or not gateway:
                self.hashes.pop(rooms, None)
            self.hashes[holder] = {"epoch": str(epoch), "gateway": gateway}

    def _holder(self, key: str) -> tuple[int, str | None]:
        epoch, gateway = self.read(key, "epoch", "gateway")
        return int(epoch or 0), gateway

    # Leases -----------------------------------------------------------------------------------------------------------

    def _renew_slot(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        gateway, epoch, held_ms = args
        known = int(self.read(keys[0], "epoch")[0] or 0)
        if known > epoch:
            return 0
        self.put(keys[0], {"gateway": gateway, "epoch": str(epoch), "expiresAt": str(self._after(held_ms))})
        return 1 if known == epoch else 2

    def _confirm_slot(self, keys: Sequence[str], args: Sequence[Any]) -> FencingEpoch | None:
        gateway, claimed, held_ms = args
        if int(self.read(keys[0], "epoch")[0] or 0) > claimed:
            return None
        return self.lease(keys[0], gateway, held_ms / 1000)

    def _slots_expired(self, keys: Sequence[str], _args: Sequence[Any]) -> list[Any]:
        expired: list[Any] = []
        for at in range(0, len(keys), 3):
            gateway, epoch, _ = self.read(keys[at], "gateway", "epoch", "expiresAt")
            if self._is_over(keys[at]) and (gateway or any(self.hashes.get(key) for key in keys[at + 1 : at + 3])):
                expired += [at // 3, epoch or "0"]
        return expired

    def _slot_reaped(self, keys: Sequence[str], args: Sequence[Any]) -> FencingEpoch | None:
        name, seen, hold_ms = args
        if (self.read(keys[0], "epoch")[0] or "0") != str(seen) or not self._is_over(keys[0]):
            return None
        return self.lease(keys[0], name, hold_ms / 1000)

    def _slot_emptied(self, keys: Sequence[str], args: Sequence[Any]) -> int:
        if self.read(keys[0], "epoch")[0] != str(args[0]):
            return 0
        for key in keys[1:]:
            self.hashes.pop(key, None)
        self.put(keys[0], {"gateway": "", "expiresAt": "0"})
        return 1

    def _is_over(self, key: str) -> bool:
        return int(self.read(key, "expiresAt")[0] or 0) <= self._after(0)

    def _after(self, milliseconds: float) -> int:
        return self._clock.now_ms() + round(milliseconds)


class Pipeline:
    """A transaction; nothing of it is done where a hash that it watches has changed."""

    def __init__(self, redis: MemoryRedis) -> None:
        self._redis = redis
        self._watched: dict[str, int] = {}
        self._is_immediate = False
        self._queued: list[Callable[[], Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None: ...

    async def watch(self, key: str) -> None:
        self._is_immediate = True
        self._watched[key] = await self._redis.answer(lambda: self._redis.changes[key])

    def multi(self) -> None:
        self._is_immediate = False

    def queue(self, work: Callable[[], Any]) -> None:
        self._queued.append(work)

    def hgetall(self, key: str) -> Any:
        if self._is_immediate:
            return self._redis.hgetall(key)
        self.queue(lambda: dict(self._redis.hashes.get(key, {})))
        return None

    def hmget(self, key: str, *fields: str) -> None:
        self.queue(lambda: self._redis.read(key, *fields))

    def hset(
        self, key: str, field: str | None = None, value: str = "", *, mapping: Mapping[str, Any] | None = None
    ) -> None:
        given = mapping if field is None else {field: value}
        self.queue(lambda: self._redis.put(key, {name: str(each) for name, each in (given or {}).items()}))

    async def execute(self) -> Any:
        return await self._redis.answer(self._run)

    def _run(self) -> list[Any]:
        if any(self._redis.changes[key] != count for key, count in self._watched.items()):
            raise WatchError("changed meanwhile")
        return [work() for work in self._queued]
