"""FastStream's default acknowledges a record before it is handled, which loses it when the process dies."""

from __future__ import annotations

from tests.architecture.sources import sources


def test_every_subscriber_names_its_ack_policy() -> None:
    silent = [
        f"{source.path}:{call.lineno}"
        for source in sources()
        for call in source.calls("subscriber")
        if not any(keyword.arg == "ack_policy" for keyword in call.keywords)
    ]
    assert silent == []
