"""Invoke functions: synchronously, asynchronously, and what AWS records about it."""

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from moto.awslambda.exceptions import LambdaClientError, UnknownFunctionException
from moto.awslambda.models import lambda_backends

from local.errors import LambdaError
from local.lambdas.asynchronous import AsynchronousQueue
from local.lambdas.emf import record_embedded_metrics
from local.lambdas.environment import Environment, FunctionSpec, Outcome
from local.lambdas.platform import platform_lines
from local.lambdas.pool import Pool, ThrottledError
from local.lambdas.runtime_api import Invocation
from local.lambdas.unpack import ArchiveInvalidError, unpack
from local.lambdas.venv import EnvironmentBuildError, WorkerEnvironment

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud import Cloud

SYNCHRONOUS_LIMIT = 6 * 1024 * 1024  # bytes
ASYNCHRONOUS_LIMIT = 1024 * 1024
RESPONSE_LIMIT = 6_291_556
LOG_TAIL = 4096


@dataclass(frozen=True)
class Answer:
    """What an invoker gets."""

    status: int
    payload: bytes
    request_id: str
    function_error: str = ""
    log_tail: bytes = b""
    version: str = "$LATEST"


class LambdaService:
    """The part of Lambda that runs code; the registry of functions is moto's."""

    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        self.worker = WorkerEnvironment(cloud.repository)
        self.pool = Pool(cloud, self.worker.python)
        self.asynchronous = AsynchronousQueue(cloud, self)
        self._folders: dict[str, Path] = {}
        cloud.add_idle_probe("invocations", self.pool.under_way)
        cloud.add_idle_probe("asynchronous invocations", self.asynchronous.pending)

    def function(self, name: str, qualifier: str | None = None) -> Any:
        """moto's record of a function, by name or ARN; raises `LambdaError` if there is none."""
        backend = lambda_backends[self.cloud.account][self.cloud.region]
        with self.cloud.lock("lambda"):
            try:
                return backend.get_function(name, qualifier)
            except (UnknownFunctionException, LambdaClientError) as error:
                text = getattr(error, "message", None) or f"Function not found: {name}"
                raise LambdaError(404, "ResourceNotFoundException", str(text)) from None

    def invoke(
        self,
        name: str,
        payload: bytes,
        invocation_type: str = "RequestResponse",
        qualifier: str | None = None,
        client_context: str = "",
    ) -> Answer:
        """Invoke by name or ARN. A failing function is an answer with `function_error`; what
        Lambda itself refuses raises `LambdaError`."""
        function = self.function(name, qualifier)
        payload = payload or b"{}"
        self._check(payload, invocation_type)
        request_id = str(uuid.uuid4())
        if invocation_type == "DryRun":
            return Answer(204, b"", request_id)
        if invocation_type == "Event":
            self.asynchronous.submit(function, payload, request_id)
            return Answer(202, b"", request_id)
        return self.run(function, payload, request_id, client_context)

    def _check(self, payload: bytes, invocation_type: str) -> None:
        if invocation_type not in ("RequestResponse", "Event", "DryRun"):
            text = f"invocation type {invocation_type!r} is not known"
            raise LambdaError(400, "InvalidParameterValueException", text)
        limit = ASYNCHRONOUS_LIMIT if invocation_type == "Event" else SYNCHRONOUS_LIMIT
        if len(payload) > limit:
            raise LambdaError(
                413,
                "RequestTooLargeException",
                f"{len(payload)} byte payload is too large for the {invocation_type} "
                f"invocation type (limit {limit} bytes)",
            )
        try:
            json.loads(payload)
        except ValueError as error:
            text = f"Could not parse request body into json: {error}"
            raise LambdaError(400, "InvalidRequestContentException", text) from None

    def run(
        self, function: Any, payload: bytes, request_id: str, client_context: str = ""
    ) -> Answer:
        """One synchronous run in an environment, with its logs and metrics."""
        try:
            spec = self.spec(function)
            reserved = function.reserved_concurrency
            environment = self.pool.take(spec, None if reserved is None else int(reserved))
        except ThrottledError:
            self._metric(function.function_name, "Throttles", 1)
            raise LambdaError(429, "TooManyRequestsException", "Rate Exceeded.") from None
        except (EnvironmentBuildError, ArchiveInvalidError) as error:
            raise LambdaError(502, "ServiceException", f"The local cloud: {error}") from error
        cold = environment.init_ms is None
        try:
            outcome = self._run(environment, payload, request_id, client_context)
        finally:
            self.pool.give_back(environment, self._revision(function))
        tail = self._record(environment, outcome, request_id, cold=cold)
        return self._answer(spec, outcome, request_id, tail)

    def _run(
        self, environment: Environment, payload: bytes, request_id: str, client_context: str
    ) -> Outcome:
        failed = None
        if environment.init_ms is None:
            with self.pool.starting():
                failed = environment.initialise()
        if failed is not None:
            environment.dead = True
            return failed
        spec = environment.spec
        deadline = int((self.cloud.clock.now() + spec.timeout) * 1000)
        trace = f"Root=1-{int(self.cloud.clock.now()):08x}-{uuid.uuid4().hex[:24]};Sampled=0"
        return environment.invoke(
            Invocation(request_id, spec.arn, deadline, payload, trace, client_context)
        )

    def _answer(self, spec: FunctionSpec, outcome: Outcome, request_id: str, tail: bytes) -> Answer:
        payload = outcome.payload
        error = "Unhandled" if outcome.failed else ""
        if outcome.kind == "init-error":
            document = json.loads(payload or b"{}")
            payload = json.dumps({**document, "requestId": request_id}).encode()
        elif len(payload) > RESPONSE_LIMIT:
            text = (
                "Response payload size exceeded maximum allowed payload size "
                f"({RESPONSE_LIMIT} bytes)."
            )
            body = {"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"}
            payload, error = json.dumps(body).encode(), "Unhandled"
        return Answer(200, payload, request_id, error, tail, spec.version)

    def spec(self, function: Any) -> FunctionSpec:
        """What an environment for this function is made from, as the function is now."""
        logging = getattr(function, "perennial_extra", {}).get("LoggingConfig") or {}
        layers = []
        backend = lambda_backends[self.cloud.account][self.cloud.region]
        with self.cloud.lock("lambda"):
            for layer in function.layers:
                version = backend.layers_versions_by_arn(layer["Arn"])
                if version is None:
                    raise ArchiveInvalidError(f"the layer {layer['Arn']} does not exist")
                layers.append(self._folder(version, "layers"))
            code = self._folder(function, "functions")
        return FunctionSpec(
            name=function.function_name,
            arn=function.function_arn,
            version=str(function.version),
            runtime=function.run_time,
            handler=function.handler,
            code=code,
            layers=tuple(layers),
            variables=dict(function.environment_vars),
            timeout=int(function.timeout),
            memory=int(function.memory_size),
            log_group=logging.get("LogGroup") or f"/aws/lambda/{function.function_name}",
            log_format=logging.get("LogFormat", "Text"),
            log_level=logging.get("ApplicationLogLevel", ""),
            revision=self._revision(function),
        )

    def _revision(self, function: Any) -> str:
        material = [
            function.code_sha_256,
            function.handler,
            function.run_time,
            function.timeout,
            function.memory_size,
            function.environment_vars,
            function.layers,
            getattr(function, "perennial_extra", {}),
            getattr(function, "perennial_deleted", False),
        ]
        return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()

    def _folder(self, holder: Any, kind: str) -> "Path":
        sha = holder.code_sha_256
        if sha not in self._folders:
            target = self.cloud.state_dir / kind
            target.mkdir(exist_ok=True)
            self._folders[sha] = unpack(holder.code_bytes, target)
        return self._folders[sha]

    def _metric(self, name: str, metric: str, value: float, unit: str = "Count") -> None:
        for dimensions in ({"FunctionName": name}, {"FunctionName": name, "Resource": name}, {}):
            self.cloud.put_metric("AWS/Lambda", metric, value, dimensions, unit)

    def _record(
        self, environment: Environment, outcome: Outcome, request_id: str, *, cold: bool
    ) -> bytes:
        """Log lines, metrics, journal; returns the tail of the log for the invoker."""
        spec = environment.spec
        init_ms = environment.init_ms if cold else None
        before, after = platform_lines(spec, outcome, request_id, init_ms, self.cloud.clock.now())
        lines = [*before, *outcome.lines, *after]
        self.cloud.put_log_events(spec.log_group, environment.log_stream, lines)
        record_embedded_metrics(self.cloud, outcome.lines)
        self._metric(spec.name, "Invocations", 1)
        self._metric(spec.name, "Errors", 1 if outcome.failed else 0)
        self._metric(spec.name, "Duration", outcome.duration_ms, "Milliseconds")
        self.cloud.journal.add(
            "invocation",
            function=spec.name,
            request_id=request_id,
            outcome=outcome.kind,
            duration_ms=round(outcome.duration_ms, 3),
            init_ms=None if init_ms is None else round(init_ms, 3),
        )
        return "\n".join(lines).encode()[-LOG_TAIL:]


def encode_tail(tail: bytes) -> str:
    """The log tail as the X-Amz-Log-Result header carries it."""
    return base64.b64encode(tail).decode()
