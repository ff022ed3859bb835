"""A Redis in memory, as far as routers use it for generations and checkpoints; the scripts said once more in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from common.redis import RedisConnectionError

Script = Callable[[Sequence[str], Sequence[Any]], Any]


class MemoryRedis:
    """`away`: every call fails."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.hashes: dict[str, dict[str, str]] = {}
        self.away = False
        scripts = {
            "next_generation": self._next_generation,
            "checkpoint_claimed": self._claimed,
            "checkpoint_written": self._written,
        }
        folder = files("router").joinpath("lua")
        self._scripts = {folder.joinpath(f"{name}.lua").read_text(): script for name, script in scripts.items()}

    def register_script(self, text: str) -> Any:
        script = self._scripts[text]

        async def call(*, keys: Sequence[str], args: Sequence[Any]) -> Any:
            self._check()
            return script(keys, args)

        return call

    def empty(self) -> None:
        self.numbers.clear()
        self.hashes.clear()

    async def hscan(self, key: str, _cursor: int, *, count: int) -> tuple[int, dict[str, str]]:
        self._check()
        return 0, dict(self.hashes.get(key, {}))

    async def hmget(self, key: str, *fields: str) -> list[str | None]:
        self._check()
        held = self.hashes.get(key, {})
        return [held.get(field) for field in fields]

    def _check(self) -> None:
        if self.away:
            raise RedisConnectionError("away")

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
        generation, begin, stream, upto, removed = args[:5]
        held = self.hashes.setdefault(keys[0], {})
        known = int(held.get("generation", "0"))
        if known > generation:
            return 0
        if begin == "whole":
            held.clear()
        elif known < generation:
            return -1
        held.update(generation=str(generation), stream=stream)
        for field in args[5 : 5 + removed]:
            held.pop(field, None)
        pairs = args[5 + removed :]
        held.update(zip(pairs[::2], pairs[1::2], strict=True))
        if upto != "":
            held["offset"] = str(upto)
        return 1
