"""Fetch sessions: a fetch names only partitions that have moved since the one before, and brings only those with news.

aiokafka (0.14) names every partition in every fetch, and the broker looks at each of them and answers for it: most of the work of fetching
one update from many partitions (docs/performance.md).
https://cwiki.apache.org/confluence/display/KAFKA/KIP-227%3A+Introduce+Incremental+FetchRequests+to+Increase+Partition+Scalability

    none --- all partitions, epoch 0 ---> made --- those that moved, epoch 1, 2, ... ---> ... until one is refused, or not answered

A broker that knows no sessions (Fetch before version 7), or makes none as it has too many, gets whole fetches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Any, NamedTuple

from aiokafka.protocol.fetch import FetchRequest, FetchRequestStruct

Send = Callable[..., Awaitable[Any]]
Place = tuple[int, int]
"""Offset, and how many bytes at most."""
Places = Mapping[tuple[str, int], Place]
"""By topic and partition."""

_FIRST_VERSION = 7
_LAST_EPOCH = 2**31 - 1


class _Session(NamedTuple):
    """What one broker knows of what we fetch. At epoch 0 it knows nothing, and forgets what it knew under this id."""

    id: int = 0
    epoch: int = 0
    known: Places = MappingProxyType({})


class FetchSessions:
    """Stands before the `send` of an aiokafka client, for a consumer that has one fetch at a time under way to each broker.

    Not for who asks `highwater`: of an answer that is not used, as after a new assignment, the broker repeats the records, but not that.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sessions: dict[int, _Session] = {}

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """As the client's: raises what it raises."""
        if not isinstance(request, FetchRequest):
            return await self._send(node_id, request, **options)
        session = self._sessions.get(node_id, _Session())
        fetch = _Fetch(request, session)
        # Until it is answered nobody can tell what the broker knows: the next one begins anew.
        unanswered = self._sessions[node_id] = _Session(session.id)
        response = await self._send(node_id, fetch, **options)
        if self._sessions[node_id] is unanswered:
            self._sessions[node_id] = fetch.session_after(response)
        return response


class _Fetch(FetchRequest):  # type: ignore[misc]  # aiokafka has no types
    """What `whole` asks for, in a session."""

    def __init__(self, whole: FetchRequest, session: _Session) -> None:
        self._whole = whole
        self._session = session
        self._wanted: Places = {
            (topic, number): (offset, most) for topic, found in whole.topics for number, offset, most in found
        }
        known = session.known
        moved: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for (topic, number), place in self._wanted.items():
            if known.get((topic, number)) != place:
                moved[topic].append((number, *place))
        self._forgotten: dict[str, list[int]] = defaultdict(list)
        for topic, number in known.keys() - self._wanted.keys():
            self._forgotten[topic].append(number)
        self._named = copy(whole)
        self._named._topics = list(moved.items())  # noqa: SLF001 - aiokafka has no public way to say it

    def build(self, request_struct_class: type[FetchRequestStruct]) -> FetchRequestStruct:
        if request_struct_class.API_VERSION < _FIRST_VERSION:
            return self._whole.build(request_struct_class)
        built = self._named.build(request_struct_class)
        built.session_id = self._session.id
        built.session_epoch = self._session.epoch
        built.forgotten_topics_data = list(self._forgotten.items())
        return built

    def session_after(self, response: Any) -> _Session:
        """The broker's session now that it has answered."""
        if response.API_VERSION < _FIRST_VERSION or response.error_code or not response.session_id:
            return _Session()
        epoch = 1 if self._session.epoch == _LAST_EPOCH else self._session.epoch + 1
        return _Session(response.session_id, epoch, self._wanted)
