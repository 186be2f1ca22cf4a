"""One service behind AWS's JSON protocol: JSON in, one method an operation, JSON out."""

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import botocore.session
from botocore.model import ServiceModel
from werkzeug.wrappers import Response

from local.jsonapi.errors import ApiError, unsupported
from local.jsonapi.validation import validate
from local.services import Environ, StartResponse

log = logging.getLogger(__name__)
Operation = Callable[[dict[str, Any]], dict[str, Any] | None]


class JsonService:
    """WSGI application. An operation that `operations` does not hold is refused by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.operations: dict[str, Operation] = {}

    @cached_property
    def model(self) -> ServiceModel:
        """botocore's description of the API."""
        return botocore.session.get_session().get_service_model(self.name)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        try:
            status, body = 200, self._answer(target, environ)
        except ApiError as error:
            status = error.status
            body = {"__type": error.code, "message": error.message, "Message": error.message}
        except Exception as error:
            log.exception("%s", target)
            text = f"The local cloud failed: {type(error).__name__}: {error}"
            status, body = 500, {"__type": "InternalFailure", "message": text}
        version = self.model.metadata["jsonVersion"]
        content_type = f"application/x-amz-json-{version}"
        response = Response(json.dumps(body), status, content_type=content_type)
        response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        if "__type" in body:
            response.headers["x-amzn-ErrorType"] = body["__type"]
        return response(environ, start_response)

    def _answer(self, target: str, environ: Environ) -> dict[str, Any]:
        prefix = re.escape(self.model.metadata["targetPrefix"])
        found = re.fullmatch(prefix + r"\.([A-Za-z0-9]+)", target)
        if found is None:
            path = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
            raise unsupported(f"{path} of {self.name}")
        name = found.group(1)
        if name not in self.model.operation_names:
            raise ApiError("UnknownOperationException", f"Unknown operation {name}")
        if name not in self.operations:
            raise unsupported(name)
        parameters = _parse(environ)
        shape = self.model.operation_model(name).input_shape
        if shape is not None:
            validate(shape, parameters)
        given = {key: value for key, value in parameters.items() if value is not None}
        return self.operations[name](given) or {}


def _parse(environ: Environ) -> dict[str, Any]:
    try:
        parameters = json.loads(environ["wsgi.input"].read() or b"{}")
    except ValueError as error:
        raise ApiError("SerializationException", f"The body is no JSON: {error}") from error
    if not isinstance(parameters, dict):
        raise ApiError("SerializationException", "The body is no JSON object")
    return parameters
