"""Cross-origin requests: what an API with a CORS configuration answers by itself."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from local.httpapi.payload import ApiAnswer

_OWN = (
    "access-control-allow-origin", "access-control-allow-credentials",
    "access-control-expose-headers", "access-control-allow-methods",
    "access-control-allow-headers", "access-control-max-age",
)  # fmt: skip


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser asks for permission; such a request never reaches a route."""
    asks = "access-control-request-method" in headers
    return method == "OPTIONS" and "origin" in headers and asks


def preflight(configuration: Mapping[str, Any], headers: Mapping[str, str]) -> ApiAnswer:
    """The answer to a browser's question; without headers where the origin is not allowed."""
    allowed = _allowed(configuration, headers.get("origin", ""))
    if allowed and configuration.get("allowMethods"):
        allowed.append(("access-control-allow-methods", ",".join(configuration["allowMethods"])))
    if allowed and configuration.get("allowHeaders"):
        allowed.append(("access-control-allow-headers", ",".join(configuration["allowHeaders"])))
    if allowed and configuration.get("maxAge") is not None:
        allowed.append(("access-control-max-age", str(configuration["maxAge"])))
    return ApiAnswer(204, b"", allowed)


def with_cors(
    answer: ApiAnswer, configuration: Mapping[str, Any] | None, headers: Mapping[str, str]
) -> ApiAnswer:
    """The answer with the API's CORS headers, which replace the function's own."""
    if not configuration:
        return answer
    kept = [(name, value) for name, value in answer.headers if name not in _OWN]
    return ApiAnswer(
        answer.status, answer.body, kept + _allowed(configuration, headers.get("origin", ""))
    )


def _allowed(configuration: Mapping[str, Any], origin: str) -> list[tuple[str, str]]:
    patterns = configuration.get("allowOrigins") or []
    if not origin or not any(fnmatch.fnmatchcase(origin, pattern) for pattern in patterns):
        return []
    credentials = bool(configuration.get("allowCredentials"))
    value = "*" if "*" in patterns and not credentials else origin
    found = [("access-control-allow-origin", value)]
    if value != "*":
        found.append(("vary", "Origin"))
    if credentials:
        found.append(("access-control-allow-credentials", "true"))
    if configuration.get("exposeHeaders"):
        found.append(("access-control-expose-headers", ",".join(configuration["exposeHeaders"])))
    return found
