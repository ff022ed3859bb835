"""The product's source files, parsed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local.settings import ROOT

FOLDERS = ("libs/common/src", "services/gateway/src", "services/router/src", "services/auth/src", "clients/python/src")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file."""

    module: str
    path: Path
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """Every module that it names in an import, at the top or inside a function."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module

    def calls(self, method: str) -> Iterator[ast.Call]:
        """Every call of a method of that name, on whatever object."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                yield node

    def strings(self) -> Iterator[tuple[int, str]]:
        """Line and text of each string, pieces of f-strings included; docstrings and names of loggers not."""
        notes = {id(node.value) for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        notes |= {id(call.args[0]) for call in self._loggers()}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and id(node) not in notes and isinstance(node.value, str | bytes):
                yield node.lineno, node.value if isinstance(node.value, str) else node.value.decode(errors="replace")

    def _loggers(self) -> Iterator[ast.Call]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_logger":
                yield node


@cache
def sources() -> tuple[Source, ...]:
    """All of them, in a stable order."""
    return tuple(_parse(ROOT / folder, path) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))


def scripts() -> tuple[Path, ...]:
    """The Lua scripts that run in Redis."""
    return tuple(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.lua")))


def _parse(folder: Path, path: Path) -> Source:
    module = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    return Source(module, path.relative_to(ROOT), ast.parse(path.read_text()))
