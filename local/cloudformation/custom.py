"""Custom resources: a Lambda function is asked, and answers with a PUT to a one-time URL."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Request, Response

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import Context, Made, Properties, ResourceType

log = logging.getLogger(__name__)

PREFIX = "/_cloudformation_response"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
_ANSWER_LIMIT = 4096
_DEFAULT_TIMEOUT = 3600
# Lambda itself repeats a failed asynchronous invocation twice.
_ATTEMPTS = 3


def is_custom(type_name: str) -> bool:
    """Tell whether a type is a custom resource."""
    return type_name.startswith("Custom::") or type_name == "AWS::CloudFormation::CustomResource"


class Answers:
    """The one-time URLs under which functions answer."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._open: dict[str, tuple[threading.Event, list[bytes]]] = {}

    def open(self) -> tuple[str, threading.Event, list[bytes]]:
        """Return a new URL's token, what is set when the answer comes, and where it is put."""
        token = secrets.token_urlsafe(32)
        event, box = threading.Event(), list[bytes]()
        with self._lock:
            self._open[token] = (event, box)
        return token, event, box

    def close(self, token: str) -> None:
        """Accept no answer under this token any more."""
        with self._lock:
            self._open.pop(token, None)

    def url(self, token: str) -> str:
        """Return the address that the function is given."""
        return f"{self._endpoint}{PREFIX}/{token}"

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Take one answer (a WSGI application)."""
        request = Request(environ)
        token = request.path.removeprefix(PREFIX).strip("/")
        with self._lock:
            waiting = self._open.pop(token, None) if request.method == "PUT" else None
        if waiting is None:
            return Response("This response URL is not open (any more).", 403)(
                environ, start_response
            )
        event, box = waiting
        box.append(request.get_data())
        event.set()
        return Response("", 200)(environ, start_response)


class CustomResource(ResourceType):
    """Custom::* and AWS::CloudFormation::CustomResource, provided by a Lambda function."""

    type_name = "AWS::CloudFormation::CustomResource"
    tagged = False

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def problems(self, properties: Properties) -> list[str]:
        """Check the token and the timeout."""
        token = str(properties.get("ServiceToken", ""))
        if not token:
            return ["Missing required property ServiceToken"]
        if ":lambda:" not in token:
            return [f"ServiceToken {token}: only Lambda functions are supported by the local cloud"]
        timeout = str(properties.get("ServiceTimeout", _DEFAULT_TIMEOUT))
        if not timeout.isdigit() or not 1 <= int(timeout) <= _DEFAULT_TIMEOUT:
            return [f"ServiceTimeout must be between 1 and {_DEFAULT_TIMEOUT} seconds"]
        return []

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Only the function itself decides; a new service token is refused by AWS."""
        if old.get("ServiceToken") != new.get("ServiceToken"):
            raise ResourceError("Modifying service token is not allowed.")
        return False

    def create(self, context: Context, properties: Properties) -> Made:
        """Ask for creation."""
        return self._ask(context, "Create", properties)

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any] | Made:
        """Ask for the change; another physical id means that the old one will be deleted."""
        return self._ask(context, "Update", new, made.physical_id, old)

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Ask for deletion."""
        self._ask(context, "Delete", properties, made.physical_id)

    def _ask(
        self,
        context: Context,
        kind: str,
        properties: Properties,
        physical_id: str | None = None,
        old: Properties | None = None,
    ) -> Made:
        token, arrived, box = self._answers.open()
        request: dict[str, Any] = {
            "RequestType": kind,
            "ServiceToken": properties["ServiceToken"],
            "ResponseURL": self._answers.url(token),
            "StackId": context.stack_id,
            "RequestId": str(uuid.uuid4()),
            "LogicalResourceId": context.logical_id,
            "ResourceType": context.resource_type,
            "ResourceProperties": _as_texts(properties),
        }
        if physical_id is not None:
            request["PhysicalResourceId"] = physical_id
        if old is not None:
            request["OldResourceProperties"] = _as_texts(old)
        try:
            self._invoke(context, request, arrived)
            timeout = int(properties.get("ServiceTimeout", _DEFAULT_TIMEOUT))
            if not arrived.wait(timeout / context.cloud.clock.factor):
                raise ResourceError(
                    "CloudFormation did not receive a response from your Custom Resource. Please "
                    f"check your logs for requestId [{request['RequestId']}]. If you are using the "
                    "Python cfn-response module, you may need to update your Lambda function code."
                )
        finally:
            self._answers.close(token)
        return _understand(context, request, box[0])

    @staticmethod
    def _invoke(context: Context, request: Mapping[str, Any], arrived: threading.Event) -> None:
        """Invoke until one attempt succeeds, as Lambda does with asynchronous events.

        AWS waits a minute and more between attempts, and then an hour for the answer that a
        failed function never sends; here the next attempt follows at once, and a function that
        failed every time without an answer fails the resource.
        """
        function, payload = request["ServiceToken"], json.dumps(request).encode()
        reason = ""
        for _ in range(_ATTEMPTS):
            answer = context.client("lambda").invoke(FunctionName=function, Payload=payload)
            if "FunctionError" not in answer or arrived.is_set():
                return
            reason = answer["Payload"].read().decode(errors="replace")[:500]
            log.warning("custom resource %s: attempt failed: %s", context.logical_id, reason)
        raise ResourceError(
            "CloudFormation did not receive a response from your Custom Resource. Please check "
            f"your logs for requestId [{request['RequestId']}]. The function failed: {reason}"
        )


def _parse(body: bytes) -> dict[str, Any]:
    if len(body) > _ANSWER_LIMIT:
        raise ResourceError("Response object is too long.")
    try:
        answer = json.loads(body)
    except json.JSONDecodeError as error:
        raise ResourceError("Invalid response object: not JSON.") from error
    if not isinstance(answer, dict):
        raise ResourceError("Invalid response object: not a JSON object.")
    return answer


def _understand(context: Context, request: Mapping[str, Any], body: bytes) -> Made:
    answer = _parse(body)
    physical_id = answer.get("PhysicalResourceId") or request.get("PhysicalResourceId")
    if physical_id:
        context.claim(str(physical_id))
    for key in ("StackId", "RequestId", "LogicalResourceId"):
        if answer.get(key) != request[key]:
            raise ResourceError(f"Invalid response object: {key} is not that of the request.")
    if answer.get("Status") == "FAILED":
        reason = answer.get("Reason") or "No reason provided"
        raise ResourceError(
            f"Received response status [FAILED] from custom resource. Message "
            f"returned: {reason} (RequestId: {request['RequestId']})"
        )
    if answer.get("Status") != "SUCCESS":
        raise ResourceError(
            "Invalid response object: Value of property Status must be SUCCESS or FAILED"
        )
    if not physical_id:
        raise ResourceError("Invalid response object: PhysicalResourceId is missing.")
    return Made(str(physical_id), _attributes(answer))


def _attributes(answer: Mapping[str, Any]) -> dict[str, Any]:
    data = answer.get("Data") or {}
    if not isinstance(data, dict):
        raise ResourceError("Invalid response object: Value of property Data must be an object")
    attributes = dict(data)
    if answer.get("NoEcho") in (True, "true"):
        attributes[NO_ECHO] = tuple(str(value) for value in data.values() if str(value))
    return attributes


NO_ECHO = "\0NoEcho"
"""Key, impossible in a template, under which the values to hide travel to the engine."""


def _as_texts(value: Any) -> Any:
    """Return the value as a function sees it: every scalar is text."""
    if isinstance(value, Mapping):
        return {key: _as_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_texts(inner) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) or value is None else str(value)
