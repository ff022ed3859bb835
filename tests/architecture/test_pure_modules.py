"""Modules that decide know nothing that acts: no event loop, broker, store, web framework or clock."""

from __future__ import annotations

import tomllib

import pytest

from deploy.local.settings import ROOT
from tests.architecture.sources import sources

LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
CONTRACT = next(contract for contract in LINTER if contract["name"].startswith("Pure modules"))
PURE: list[str] = CONTRACT["source_modules"]
FORBIDDEN = frozenset({*CONTRACT["forbidden_modules"], "random", "socket", "threading"})


def belongs(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("pure", PURE)
def test_a_pure_module_imports_nothing_that_acts(pure: str) -> None:
    found = [source for source in sources() if belongs(source.module, pure)]
    assert found, f"{pure} is listed as pure and does not exist"
    acting = {
        f"{source.path}: {name}" for source in found for name in source.imports() if name.split(".")[0] in FORBIDDEN
    }
    assert acting == set()
