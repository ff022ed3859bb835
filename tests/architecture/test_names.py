"""One place spells the topics, one the Redis keys."""

from __future__ import annotations

import re

from common.topics import Topics
from tests.architecture.sources import Source, scripts, sources

TOPICS = frozenset(spec.name for spec in Topics().specs()) - {Topics().deliveries}
"""`deliveries` is left out: it is an everyday word of the code as well."""

KEY = re.compile(r"(ws:(connection|closed|room|slot|interest|bridge)|auth:(key|decision)|latest:|events:|stream:)")


def spelled(allowed: set[str], is_name: re.Pattern[str] | frozenset[str]) -> list[str]:
    def matches(text: str) -> bool:
        return text in is_name if isinstance(is_name, frozenset) else bool(is_name.match(text))

    def places(source: Source) -> list[str]:
        return [f"{source.path}:{line}: {text}" for line, text in source.strings() if matches(text)]

    return [place for source in sources() if source.module not in allowed for place in places(source)]


def test_only_common_topics_spells_topic_names() -> None:
    assert spelled({"common.topics"}, TOPICS) == []


def test_only_common_redis_keys_spells_redis_keys() -> None:
    assert spelled({"common.redis_keys", "common.topics"}, KEY) == []


def test_scripts_are_given_their_redis_keys() -> None:
    code = {path: re.sub(r"--.*", "", path.read_text()) for path in scripts()}
    assert [str(path) for path, text in code.items() if KEY.search(text)] == []
