"""Requests to HTTP APIs: throttle, authorisation, the function, and what is recorded of it."""

from __future__ import annotations

import fnmatch
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from local.errors import LambdaError
from local.httpapi.authorise import Authoriser, NotAuthorisedError
from local.httpapi.cors import is_preflight, preflight, with_cors
from local.httpapi.imports import ImportRefusedError, check_integration, function_of
from local.httpapi.moto import SERVICE, find_api
from local.httpapi.payload import (
    ApiAnswer,
    ApiRequest,
    BadAnswerError,
    answer_of,
    event_of,
    message,
)
from local.httpapi.records import Passage, record_metrics, write_access_log
from local.httpapi.routes import find_route
from local.httpapi.throttle import Throttle, settings_of
from local.services import Environ, StartResponse

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
PREFIX = "/_apis"
BODY_LIMIT = 10 * 1024 * 1024
# Hop-by-hop headers and those that API Gateway sets itself.
_DROPPED = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})


class Gateway:
    """WSGI application below `/_apis`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._throttle = Throttle()
        self._authoriser = Authoriser(cloud)
        self._count = 0
        self._lock = threading.Lock()

    def under_way(self) -> int:
        """How many requests are being answered."""
        return self._count

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        with self._lock:
            self._count += 1
        try:
            answer = self._answer(environ)
        finally:
            with self._lock:
                self._count -= 1
        response = Response(answer.body, answer.status)
        response.headers.clear()
        for name, value in answer.headers:
            if name not in _DROPPED:
                response.headers.add(name, value.replace("\r", " ").replace("\n", " "))
        response.headers["content-length"] = str(len(answer.body))
        return response(environ, start_response)

    def _answer(self, environ: Environ) -> ApiAnswer:
        raw, _, query = str(environ["REQUEST_URI"]).partition("?")
        api_id, _, rest = raw.removeprefix(PREFIX + "/").partition("/")
        with self._cloud.lock(SERVICE):
            api = find_api(self._cloud, api_id)
            stage, path = _stage_of(api, "/" + rest) if api else (None, "")
        if api is None or stage is None:
            return message(404, "Not Found")
        started = time.monotonic()
        request = self._request(environ, api_id, stage.name, path, query)
        passage = Passage(request)
        try:
            answer = self._pass(api, stage, passage)
        except Exception as error:
            log.exception("%s %s of API %s", request.method, request.path, api_id)
            passage.error = f"The local cloud failed: {type(error).__name__}: {error}"
            answer = message(500, "Internal Server Error")
        cors: Any = api.cors_configuration  # moto calls it a text
        if not is_preflight(request.method, request.headers):
            answer = with_cors(answer, cors, request.headers)
        spent_ms = (time.monotonic() - started) * 1000
        record_metrics(self._cloud, passage, answer, spent_ms)
        if stage.access_log_settings:
            write_access_log(self._cloud, stage.access_log_settings, passage, answer, spent_ms)
        headers = [*answer.headers, ("apigw-requestid", request.id)]
        return ApiAnswer(answer.status, answer.body, headers)

    def _request(
        self, environ: Environ, api_id: str, stage: str, path: str, query: str
    ) -> ApiRequest:
        headers = {
            key[5:].replace("_", "-").lower(): str(value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                headers[key.replace("_", "-").lower()] = str(environ[key])
        headers |= {
            "x-forwarded-for": str(environ.get("REMOTE_ADDR", "")),
            "x-forwarded-proto": "https",
        }
        return ApiRequest(
            id=uuid.uuid4().hex[:15] + "=",
            api_id=api_id,
            account=self._cloud.account,
            region=self._cloud.region,
            stage=stage,
            method=str(environ["REQUEST_METHOD"]),
            path=path,
            query=query,
            headers=headers,
            source_ip=str(environ.get("REMOTE_ADDR", "")),
            protocol=str(environ.get("SERVER_PROTOCOL", "HTTP/1.1")),
            body=environ["wsgi.input"].read(),
            moment=self._cloud.clock.now(),
        )

    def _pass(self, api: Any, stage: Any, passage: Passage) -> ApiAnswer:
        request = passage.request
        if len(request.body) > BODY_LIMIT:
            return message(413, "Request Entity Too Large")
        if api.cors_configuration and is_preflight(request.method, request.headers):
            return preflight(api.cors_configuration, request.headers)
        with self._cloud.lock(SERVICE):
            routes = {route.route_key: route for route in api.routes.values()}
        found = find_route(routes, request.method, request.path)
        if found is None:
            passage.error = "no route takes the request"
            return message(404, "Not Found")
        passage.route_key, variables = found
        route = routes[passage.route_key]
        place = (request.api_id, stage.name, passage.route_key)
        if not self._throttle.admits(place, settings_of(stage, passage.route_key)):
            passage.error = "throttled"
            return message(429, "Too Many Requests")
        try:
            caller = self._authoriser.check(api, route, request)
        except NotAuthorisedError as error:
            passage.error = str(error)
            return error.answer
        passage.caller = caller.log
        event = event_of(
            request, passage.route_key, variables, stage.stage_variables or {}, caller.event
        )
        return self._integrate(api, route, event, passage)

    def _integrate(
        self, api: Any, route: Any, event: dict[str, Any], passage: Passage
    ) -> ApiAnswer:
        integration = api.integrations[str(route.target or "").rpartition("/")[2]]
        try:
            checked = check_integration(route.route_key, _described(integration))
        except ImportRefusedError as error:
            passage.integration_error = str(error)
            return message(500, f"Internal Server Error: {error}")
        function = function_of(checked["uri"])
        if not self._may_invoke(function, passage):
            passage.integration_error = (
                f"API Gateway may not invoke {function}: its policy has no statement for this API"
            )
            return message(500, "Internal Server Error")
        started = time.monotonic()
        try:
            return self._invoke(function, event, checked["timeoutInMillis"] / 1000, passage)
        finally:
            passage.integration_ms = (time.monotonic() - started) * 1000

    def _may_invoke(self, function: str, passage: Passage) -> bool:
        """Whether the function's policy lets this API call it; forgotten permissions are common."""
        request = passage.request
        method, _, path = passage.route_key.partition(" ")
        source = (
            f"arn:aws:execute-api:{request.region}:{request.account}:"
            f"{request.api_id}/{request.stage}/{method if path else '*'}{path or '/$default'}"
        )
        with self._cloud.lock("lambda"):
            policy = self._cloud.functions.function(function).policy
            statements = list(policy.statements) if policy else []
        for statement in statements:
            principal = statement.get("Principal")
            service = principal.get("Service") if isinstance(principal, dict) else principal
            conditions = statement.get("Condition") or {}
            patterns = [
                str(value.get("AWS:SourceArn", value.get("aws:SourceArn", "*")))
                for value in conditions.values()
            ]
            fits = all(fnmatch.fnmatchcase(source, pattern) for pattern in patterns)
            if service == "apigateway.amazonaws.com" and fits:
                return True
        return False

    def _invoke(
        self, function: str, event: dict[str, Any], timeout: float, passage: Passage
    ) -> ApiAnswer:
        """The function's answer, awaited for so many seconds and no longer."""
        payload = json.dumps(event).encode()
        arrived: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                arrived.put(self._cloud.invoke_function(function, payload))
            except LambdaError as error:
                arrived.put(error)

        threading.Thread(target=work, name="api integration", daemon=True).start()
        try:
            answer = arrived.get(timeout=timeout)
        except queue.Empty:
            passage.integration_error = f"the function did not answer within {timeout:g} s"
            return message(503, "Service Unavailable")
        if isinstance(answer, LambdaError):
            passage.integration_status = answer.status
            passage.integration_error = str(answer)
            if answer.status == 413:
                return message(413, "Request Entity Too Large")
            throttled = answer.status == 429
            return message(
                503 if throttled else 500,
                "Service Unavailable" if throttled else "Internal Server Error",
            )
        passage.integration_status = answer.status
        if answer.function_error:
            passage.integration_error = answer.payload.decode("utf-8", "replace")[:500]
            return message(500, "Internal Server Error")
        try:
            return answer_of(answer.payload)
        except BadAnswerError as error:
            passage.integration_error = str(error)
            return message(500, "Internal Server Error")


def _stage_of(api: Any, path: str) -> tuple[Any, str]:
    """The stage that a path names, else `$default`, and the path below it."""
    name, _, rest = path[1:].partition("/")
    if name in api.stages:
        return api.stages[name], "/" + rest
    return api.stages.get("$default"), path


def _described(integration: Any) -> dict[str, Any]:
    """moto's record in the words of the OpenAPI extension."""
    return {
        "type": integration.integration_type,
        "uri": integration.integration_uri,
        "payloadFormatVersion": integration.payload_format_version,
        "timeoutInMillis": integration.timeout_in_millis,
        "integrationSubtype": integration.integration_subtype,
    }
