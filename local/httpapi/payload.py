"""A request as a function behind payload format 2.0 gets it, and the answer that it gives.

Format: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

# What API Gateway hands on as text; every other body travels in base64.
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")


class BadAnswerError(ValueError):
    """A function's answer that API Gateway cannot send; the message says why."""


@dataclass(frozen=True)
class ApiRequest:
    """One request on its way to a function. `headers` have lower-case names."""

    id: str
    api_id: str
    account: str
    region: str
    stage: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    source_ip: str
    protocol: str
    body: bytes
    moment: float


@dataclass(frozen=True)
class ApiAnswer:
    """What the client gets."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)


def message(status: int, words: str, *headers: tuple[str, str]) -> ApiAnswer:
    """An answer of API Gateway itself: `{"message": …}`."""
    body = json.dumps({"message": words}).encode()
    return ApiAnswer(status, body, [("content-type", "application/json"), *headers])


def event_of(
    request: ApiRequest,
    route_key: str,
    variables: Mapping[str, str],
    stage_variables: Mapping[str, str],
    authorizer: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The event; members that have nothing to say are left out, as AWS does."""
    headers = dict(request.headers)
    cookies = [part.strip() for part in headers.pop("cookie", "").split(";") if part.strip()]
    domain = f"{request.api_id}.execute-api.{request.region}.amazonaws.com"
    stamp = datetime.fromtimestamp(request.moment, UTC)
    path = request.path if request.stage == "$default" else f"/{request.stage}{request.path}"
    context: dict[str, Any] = {
        "accountId": request.account,
        "apiId": request.api_id,
        "domainName": domain,
        "domainPrefix": request.api_id,
        "http": {
            "method": request.method,
            "path": path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": request.id,
        "routeKey": route_key,
        "stage": request.stage,
        "time": stamp.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(request.moment * 1000),
    }
    if authorizer is not None:
        context["authorizer"] = dict(authorizer)
    text, encoded = _body(request.body, headers.get("content-type", ""))
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": context,
        "isBase64Encoded": encoded,
    }
    optional = {
        "cookies": cookies,
        "queryStringParameters": _query(request.query),
        "pathParameters": dict(variables),
        "stageVariables": dict(stage_variables),
        "body": text,
    }
    return event | {name: value for name, value in optional.items() if value}


def _query(text: str) -> dict[str, str]:
    """Parameters that come several times are joined by commas."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    if not body:
        return "", False
    if content_type.lower().startswith(_TEXT):
        return body.decode("utf-8", "replace"), False
    return base64.b64encode(body).decode(), True


def answer_of(payload: bytes) -> ApiAnswer:
    """What the client gets for a function's answer; raises `BadAnswerError`.

    An answer without `statusCode` is the body itself, with status 200, as JSON.
    """
    document = json.loads(payload or b"null")
    if not isinstance(document, dict) or "statusCode" not in document:
        body = document if isinstance(document, str) else json.dumps(document)
        return ApiAnswer(200, body.encode(), [("content-type", "application/json")])
    status = _status(document["statusCode"])
    headers = [(str(name).lower(), _text(value)) for name, value in _members(document, "headers")]
    headers += [("set-cookie", str(cookie)) for cookie in document.get("cookies") or []]
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=utf-8"))
    text = document.get("body", "")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise BadAnswerError("the function's body is no text")
    if not document.get("isBase64Encoded"):
        return ApiAnswer(status, text.encode("utf-8", "replace"), headers)
    try:
        return ApiAnswer(status, base64.b64decode(text, validate=True), headers)
    except binascii.Error as error:
        raise BadAnswerError(f"the function's body is no base64: {error}") from error


def _status(value: Any) -> int:
    try:
        status = int(value)
    except (TypeError, ValueError):
        raise BadAnswerError(f"the function's statusCode is {value!r}") from None
    if not 100 <= status <= 599:
        raise BadAnswerError(f"the function's statusCode is {status}")
    return status


def _members(document: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    members = document.get(name) or {}
    if not isinstance(members, dict):
        raise BadAnswerError(f"the function's {name} are no object")
    return list(members.items())


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
