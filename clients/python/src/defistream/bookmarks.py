"""Where `defistream tail` stands, kept in a file from one run to the next."""

from __future__ import annotations

import json
from pathlib import Path

from defistream.cursors import parse_cursor
from defistream.errors import InvalidArgument


class Bookmarks:
    """The cursor of each channel, as the command line names it. Without a file nothing is kept."""

    def __init__(self, path: str | None) -> None:
        """Reads the file where there is one. Raises `InvalidArgument` for one that this class has not written."""
        self._path = Path(path) if path is not None else None
        self._cursors = _read(self._path) if self._path is not None else {}

    def cursor(self, channel: str) -> str | None:
        return self._cursors.get(channel)

    def keep(self, channel: str, cursor: str | None) -> None:
        """In the file once this returns; a crash meanwhile leaves what was there. Raises `InvalidArgument` where that fails."""
        if self._path is None or cursor is None or self._cursors.get(channel) == cursor:
            return
        self._cursors[channel] = cursor
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text(json.dumps(self._cursors) + "\n")
            new.replace(self._path)
        except OSError as error:
            raise InvalidArgument(f"cannot write {self._path}: {error}") from None


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text())
        return {str(channel): str(parse_cursor(cursor)) for channel, cursor in kept.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidArgument(f"cannot go on from {path}: {error}") from None
