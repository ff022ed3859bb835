"""Links and paths in the documents lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
MODULE = re.compile(r"`((?:gateway|router|auth|common)/[a-z_/]+(?:\.py|\.lua)?)`")
FOLDERS = {name: f"services/{name}/src" for name in ("gateway", "router", "auth")} | {"common": "libs/common/src"}


def documents() -> list[Path]:
    """Every Markdown file of the work tree that is not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [ROOT / name for name in sorted(set(listed)) if (ROOT / name).exists()]


def anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_nowhere(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    return not target.exists() or (bool(anchor) and target.suffix == ".md" and anchor not in anchors(target))


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(FENCE.sub("", document.read_text())) if not re.match("[a-z]+:", link)]
    assert [link for link in links if leads_nowhere(document, link)] == []


def test_files_that_the_architecture_names_exist() -> None:
    named = MODULE.findall((ROOT / "ARCHITECTURE.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / FOLDERS[name.split("/")[0]] / name).exists()] == []


def test_every_decision_is_listed_and_says_what_violates_it() -> None:
    folder = ROOT / "docs" / "adr"
    decisions = sorted(folder.glob("0*.md"))
    listed = re.findall(r"\((0\d{3}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == [decision.name for decision in decisions]
    assert [decision.name for decision in decisions if "A change violates this when" not in decision.read_text()] == []
