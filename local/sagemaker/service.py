"""SageMaker's front door: JSON 1.1 in, one method an operation, JSON 1.1 out."""

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

from local.cloud import Cloud
from local.sagemaker.errors import SageMakerError, unsupported
from local.sagemaker.groups import Groups
from local.sagemaker.packages import Packages
from local.sagemaker.processing import ProcessingJobs
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags
from local.sagemaker.training import TrainingJobs
from local.sagemaker.validation import validate
from local.services import Environ, StartResponse

log = logging.getLogger(__name__)
Operation = Callable[[dict[str, Any]], dict[str, Any] | None]


class SageMaker:
    """The API. An operation without an entry here is refused by name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        tags = Tags(cloud)
        groups = Groups(cloud, self.model, tags)
        packages = Packages(cloud, self.model, tags, groups)
        runtime = JobRuntime(cloud)
        training = TrainingJobs(cloud, self.model, tags, runtime)
        processing = ProcessingJobs(cloud, self.model, tags, runtime)
        self._operations: dict[str, Operation] = {}
        for part in (tags, groups, packages, training, processing):
            self._operations.update(part.operations())
        self._runtime = runtime

    @cached_property
    def model(self) -> ServiceModel:
        """botocore's description of the API."""
        return botocore.session.get_session().get_service_model("sagemaker")

    def register(self) -> None:
        """Answer for the service, and prepare what the first job would have to wait for."""
        self._cloud.register("sagemaker", self)
        self._cloud.add_idle_probe("jobs", self._runtime.running)
        self._cloud.background("jobs environment", self._runtime.prepare)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            status, body = 200, self._answer(environ)
        except SageMakerError as error:
            status = error.status
            body = {"__type": error.code, "message": error.message, "Message": error.message}
        except Exception as error:
            log.exception("SageMaker %s", environ.get("HTTP_X_AMZ_TARGET"))
            text = f"The local cloud failed: {type(error).__name__}: {error}"
            status, body = 500, {"__type": "InternalFailure", "message": text}
        response = Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")
        response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
        if "__type" in body:
            response.headers["x-amzn-ErrorType"] = body["__type"]
        return response(environ, start_response)

    def _answer(self, environ: Environ) -> dict[str, Any]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        found = re.fullmatch(r"SageMaker\.([A-Za-z0-9]+)", target)
        if found is None:
            what = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')} of SageMaker"
            raise unsupported(what)
        name = found.group(1)
        if name not in self.model.operation_names:
            raise SageMakerError("UnknownOperationException", f"Unknown operation {name}")
        if name not in self._operations:
            raise unsupported(name)
        parameters = self._parse(environ)
        shape = self.model.operation_model(name).input_shape
        if shape is not None:
            validate(shape, parameters)
        parameters = {key: value for key, value in parameters.items() if value is not None}
        return self._operations[name](parameters) or {}

    @staticmethod
    def _parse(environ: Environ) -> dict[str, Any]:
        try:
            parameters = json.loads(environ["wsgi.input"].read() or b"{}")
        except ValueError as error:
            raise SageMakerError(
                "SerializationException", f"The body is no JSON: {error}"
            ) from error
        if not isinstance(parameters, dict):
            raise SageMakerError("SerializationException", "The body is no JSON object")
        return parameters
