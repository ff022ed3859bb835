"""The README says of settings and topics what the code does."""

import re
from pathlib import Path

from common.topics import Topics
from deploy.env_example import _text, variables

README = Path(__file__).parents[1] / "README.md"


def rows(text: str) -> list[list[str]]:
    """The cells of a table's body."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def settings_table() -> str:
    """The table as the settings say it should be."""
    lines = [
        f"| `{name}` | `{_text(field.default)}` | {field.description} |" for name, field in variables("gateway").items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *lines])


def test_the_settings_table_is_that_of_the_settings():
    found = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", README.read_text(), re.DOTALL)
    assert found is not None
    assert found.group(1) == settings_table()


def test_the_topics_table_names_topics_that_there_are():
    section = README.read_text().partition("## Topics")[2].partition("## HTTP")[0]
    named = {name for cells in rows(section) for name in re.findall(r"`([a-z-]+\.?[a-z-]*)`", cells[0])}
    known = {spec.name for spec in Topics().specs()}
    assert {"deliveries", "rooms.interest"} <= named
    assert {name for name in named if "*" not in name} <= known | {"updates."}


def test_every_part_in_the_picture_exists():
    section = README.read_text().partition("## Its parts")[2].partition("## Settings")[0]
    source = README.parent / "src" / "gateway"
    names = set(re.findall(r"[a-z_/]+\.py", section))
    assert [name for name in names if not (source / name).exists() and not (source / "protocol" / name).exists()] == []
