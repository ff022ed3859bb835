"""The gateway's HTTP: broadcast, stats, health. WebSockets never come here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from common.errors import DefistreamError, ErrorCode, FieldError, Unavailable
from common.health import Readiness, health_routes
from common.identifiers import KeyHash
from common.permissions import may_broadcast
from common.topics import Topics
from gateway.authentication import Authentication
from gateway.broadcasts import MAX_BODY_BYTES, Publisher, read_broadcast
from gateway.handshake import find_api_key
from gateway.statistics import Statistics

STATUS = {
    ErrorCode.API_KEY_REQUIRED: 401,
    ErrorCode.INVALID_API_KEY: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.UNAVAILABLE: 503,
}


class Refused(DefistreamError):
    """A request that is turned away, with a code of the wire protocol."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Broadcast:
    """The endpoint `POST /v2/broadcast`."""

    def __init__(
        self,
        authentication: Authentication,
        publisher: Publisher,
        topics: Topics,
        hash_key: Callable[[str], KeyHash],
    ) -> None:
        self._authentication = authentication
        self._publisher = publisher
        self._topics = topics
        self._hash_key = hash_key

    async def answer(self, request: Request) -> Response:
        """202 with where each record is, or the error."""
        try:
            await self._authorize(request)
            body = await _read_body(request)
            records = read_broadcast(body, self._topics)
            return JSONResponse({"accepted": await self._publisher.publish(records)}, status_code=202)
        except DefistreamError as error:
            return error_response(error)

    async def _authorize(self, request: Request) -> None:
        api_key = find_api_key({name.lower(): value for name, value in request.headers.items()}, request.url.query)
        if api_key is None:
            raise Refused(
                ErrorCode.API_KEY_REQUIRED, "give a key: Authorization: Bearer, x-api-key, or apiKey in the query"
            )
        decision = await self._authentication.decide(self._hash_key(api_key))
        if decision.retryable:
            raise Unavailable(decision.reason)
        if not decision.allowed:
            raise Refused(ErrorCode.INVALID_API_KEY, decision.reason or "the API key is not valid")
        if not may_broadcast(decision.permissions):
            raise Refused(ErrorCode.PERMISSION_DENIED, "the key has no permission broadcast")


class BodyTooLarge(FieldError):
    pass


async def _read_body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the body may have at most {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def error_response(error: DefistreamError) -> Response:
    """The wire protocol's error, under the HTTP status that fits it."""
    content: dict[str, Any] = {
        "type": "error",
        "code": error.code.value,
        "message": str(error),
        "retryable": error.retryable,
    }
    if isinstance(error, FieldError) and error.field is not None:
        content["field"] = error.field
    status = 413 if isinstance(error, BodyTooLarge) else STATUS.get(error.code, 400)
    headers = {"Retry-After": "1"} if error.retryable else None
    return JSONResponse({"error": content}, status_code=status, headers=headers)


def build_http(readiness: Readiness, broadcast: Broadcast, statistics: Statistics, websocket_path: str) -> Starlette:
    async def show_stats(_request: Request) -> Response:
        return JSONResponse(statistics.to_json())

    async def upgrade_required(_request: Request) -> Response:
        text = "this is a WebSocket endpoint; connect to it with ws:// or wss://"
        return JSONResponse(
            {"error": {"type": "error", "code": "bad_request", "message": text}},
            status_code=426,
            headers={"Upgrade": "websocket"},
        )

    return Starlette(
        routes=[
            Route("/v2/broadcast", broadcast.answer, methods=["POST"]),
            Route("/v2/stats", show_stats),
            Route(websocket_path, upgrade_required),
            *health_routes(readiness, sample=statistics.sample),
        ]
    )
