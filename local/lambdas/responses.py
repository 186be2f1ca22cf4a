"""Lambda's API: moto's registry of functions, our execution, and refusals by name."""

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto.awslambda.responses import LambdaResponse

from local.errors import LambdaError
from local.lambdas.service import encode_tail
from local.lambdas.unpack import ArchiveInvalidError
from local.sqs.pollers import refuse_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.core.responses import BaseResponse

    from local.cloud import Cloud

# Kept beside moto's record, which has no place for them, and given back by Get and List.
EXTRA = ("DeadLetterConfig", "LoggingConfig")
UNSUPPORTED = (
    "CapacityProviderConfig",
    "CodeSigningConfigArn",
    "DurableConfig",
    "FileSystemConfigs",
    "ImageConfig",
    "TenancyConfig",
)
RUNTIMES = tuple(f"python3.{minor}" for minor in range(10, 15))


def lambda_response(cloud: "Cloud") -> "Callable[[], BaseResponse]":
    """The response class, bound to this cloud."""

    class Response(_LambdaResponse):
        """Bound to one cloud."""

    Response.cloud = cloud
    return Response


class _LambdaResponse(LambdaResponse):
    """moto's Lambda with our Invoke, all configuration fields, and no silent ignoring."""

    cloud: "Cloud"

    def call_action(self) -> Any:
        """Everything but Invoke runs under the service's lock (Invoke takes it where needed)."""
        if self._get_action() in ("Invoke", "InvokeAsync"):
            return super().call_action()
        with self.cloud.lock("lambda"):
            return super().call_action()

    def invoke(self) -> Any:
        """Run the function, or take the event."""
        name = unquote(self.path.rsplit("/", 2)[-2])
        qualifier = self.querystring.get("Qualifier", [None])[0]
        try:
            answer = self.cloud.functions.invoke(
                name,
                self.normalized_request.data,
                self.headers.get("X-Amz-Invocation-Type") or "RequestResponse",
                qualifier,
                self.headers.get("X-Amz-Client-Context", ""),
            )
        except LambdaError as error:
            return _refusal(error.status, error.code, str(error))
        headers: dict[str, Any] = {
            "status": answer.status,
            "x-amzn-RequestId": answer.request_id,
            "Content-Type": "application/json",
        }
        if answer.status == 200:
            headers["X-Amz-Executed-Version"] = answer.version
            if answer.function_error:
                headers["X-Amz-Function-Error"] = answer.function_error
            if self.headers.get("X-Amz-Log-Type") == "Tail":
                headers["X-Amz-Log-Result"] = encode_tail(answer.log_tail)
        return answer.status, headers, answer.payload

    def create_function(self) -> Any:
        """Create, and refuse by name what would not be honoured."""
        body = self.json_body
        refusal = _unsupported(body)
        if refusal:
            return _refusal(400, "InvalidParameterValueException", refusal)
        answer = super().create_function()
        function: Any = self.backend.get_function(body["FunctionName"].rsplit(":", 1)[-1], None)
        function.perennial_extra = {key: body[key] for key in EXTRA if body.get(key)}
        try:
            self.cloud.functions.spec(function)
        except ArchiveInvalidError as error:
            self.backend.delete_function(function.function_name, None)
            return _refusal(400, "InvalidParameterValueException", str(error))
        return _merged(answer, function)

    def update_function_configuration(self) -> Any:
        """Update every field that Create takes."""
        body = self.json_body
        refusal = _unsupported({"Runtime": RUNTIMES[0], "PackageType": "Zip", **body})
        if refusal:
            return _refusal(400, "InvalidParameterValueException", refusal)
        name = unquote(self.path.rsplit("/", 2)[-2])
        function: Any = self.backend.get_function(name, None)
        extra = dict(getattr(function, "perennial_extra", {}))
        for key in EXTRA:
            if key in body:
                extra[key] = body[key]
        function.perennial_extra = {k: v for k, v in extra.items() if v}
        if "EphemeralStorage" in body:
            function.ephemeral_storage = body["EphemeralStorage"]["Size"]
        if "TracingConfig" in body:
            function.tracing_config = body["TracingConfig"]
        if "KMSKeyArn" in body:
            function.kms_key_arn = body["KMSKeyArn"]
        body = {**body}
        if body.get("Environment") == {}:
            body["Environment"] = {"Variables": {}}
        answer = function.update_configuration(body)
        self.cloud.functions.pool.end(function.function_name)
        return _merged((200, {}, json.dumps(answer)), function)

    def update_function_code(self) -> Any:
        """Replace the code; environments of the old code end with what they are doing."""
        name = unquote(self.path.rsplit("/", 2)[-2])
        answer = super().update_function_code()
        function: Any = self.backend.get_function(name, None)
        try:
            self.cloud.functions.spec(function)
        except ArchiveInvalidError as error:
            return _refusal(400, "InvalidParameterValueException", str(error))
        self.cloud.functions.pool.end(function.function_name)
        return _merged(answer, function)

    def delete_function(self) -> Any:
        """Delete the function and end its environments."""
        name = unquote(self.path.rsplit("/", 1)[-1])
        function: Any = self.backend.get_function(name, None)
        function.perennial_deleted = True
        answer = super().delete_function()
        self.cloud.functions.pool.end(function.function_name)
        return answer

    def get_function(self) -> Any:
        """As moto, with the fields it has no place for."""
        document = json.loads(super().get_function())
        function: Any = self.backend.get_function(unquote(self.path.rsplit("/", 1)[-1]), None)
        document["Configuration"].update(getattr(function, "perennial_extra", {}))
        return json.dumps(document)

    def get_function_configuration(self) -> Any:
        """As moto, with the fields it has no place for."""
        function: Any = self.backend.get_function(unquote(self.path.rsplit("/", 2)[-2]), None)
        return _merged((200, {}, super().get_function_configuration()), function)

    def put_function_event_invoke_config(self) -> Any:
        """Put replaces (moto would keep the first one for ever)."""
        name = unquote(self.path.rsplit("/", 2)[-2])
        self.backend.get_function(name, None).event_invoke_config = []
        return super().put_function_event_invoke_config()

    def create_event_source_mapping(self) -> Any:
        """SQS sources only; what the poller does not know is refused by name."""
        refusal = refuse_mapping(self.json_body, self.json_body.get("EventSourceArn", ""))
        if refusal:
            return _refusal(400, "InvalidParameterValueException", refusal)
        answer = super().create_event_source_mapping()
        self.cloud.pollers.reconcile()
        return answer

    def update_event_source_mapping(self) -> Any:
        """As create."""
        mapping = self.backend.get_event_source_mapping(self.path.split("/")[-1])
        source = mapping.event_source_arn if mapping else ""
        refusal = refuse_mapping(self.json_body, source)
        if refusal:
            return _refusal(400, "InvalidParameterValueException", refusal)
        return super().update_event_source_mapping()


def _unsupported(body: dict[str, Any]) -> str:
    for name in UNSUPPORTED:
        if body.get(name):
            return f"{name} is not supported by the local cloud."
    if body.get("PackageType", "Zip") != "Zip":
        return "PackageType Image is not supported by the local cloud; it runs Zip functions."
    if (body.get("SnapStart") or {}).get("ApplyOn", "None") != "None":
        return "SnapStart is not supported by the local cloud."
    runtime = body.get("Runtime")
    if runtime not in RUNTIMES:
        return (
            f"Runtime {runtime} is not supported by the local cloud; it runs {', '.join(RUNTIMES)}."
        )
    variables = (body.get("Environment") or {}).get("Variables") or {}
    size = sum(len(k) + len(v) for k, v in variables.items())
    if size > 4096:
        return (
            "Lambda was unable to configure your environment variables because the environment "
            f"variables you have provided exceeded the 4KB limit. String measured: {size}"
        )
    return ""


def _merged(answer: Any, function: Any) -> Any:
    status, headers, body = answer
    document = {**json.loads(body), **getattr(function, "perennial_extra", {})}
    return status, headers, json.dumps(document)


def _refusal(status: int, code: str, message: str) -> Any:
    headers = {"status": status, "x-amzn-ErrorType": code, "Content-Type": "application/json"}
    body = {"Type": "User", "Message": message, "message": message}
    if code == "TooManyRequestsException":
        body["Reason"] = "ReservedFunctionConcurrentInvocationLimitExceeded"
    return status, headers, json.dumps(body)
