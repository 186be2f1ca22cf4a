"""Service integrations: one call of a service, its answer, and its errors by their ASL names."""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.states.errors import RUNTIME, TASK_FAILED, TIMEOUT, StateError
from local.states.resources import SDK_ERROR_NAMES, SYNC, Resource
from local.states.values import epoch_ms, iso, to_json, to_request

if TYPE_CHECKING:
    from local.states.interpreter import Frame

# Prefix of an optimised integration's error names, and the service's name in its causes.
OPTIMISED_NAMES = {
    "dynamodb": ("DynamoDB", "AmazonDynamoDBv2"),
    "events": ("EventBridge", "AmazonCloudWatchEvents"),
    "lambda": ("Lambda", "AWSLambda"),
    "sagemaker": ("SageMaker", "AmazonSageMaker"),
    "sns": ("SNS", "AmazonSNS"),
    "sqs": ("SQS", "AmazonSQS"),
    "states": ("StepFunctions", "AWSStepFunctions"),
}
# What an optimised integration calls an error that the service's model does not have.
OPTIMISED_UNMODELLED = {
    "dynamodb": "AmazonDynamoDBException",
    "events": "AmazonCloudWatchEventsException",
    "lambda": "AWSLambdaException",
    "sagemaker": "AmazonSageMakerException",
    "sns": "AmazonSNSException",
    "sqs": "AmazonSQSException",
    "states": "AWSStepFunctionsException",
}
MANAGED_TAG = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}


@dataclass
class Call:
    """One attempt of one Task."""

    frame: "Frame"
    resource: Resource
    parameters: Any
    timeout: float | None
    heartbeat: float | None
    token: str | None

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    def left(self) -> float | None:
        """Real seconds until the Task's own timeout."""
        if self.timeout is None:
            return None
        return max(0.0, self.timeout - (time.monotonic() - self._started))

    def check_time(self) -> None:
        """Raise States.Timeout when the Task's time is up."""
        if self.left() == 0:
            raise StateError(TIMEOUT)


def invoke_function(call: Call) -> Any:
    """A function named by its ARN: the payload is all."""
    answer = _invoke(call, {"FunctionName": call.resource.arn, "Payload": call.parameters})
    return answer["Payload"]


def submit(call: Call) -> Any:
    """Call the service; its answer as JSON."""
    resource = call.resource
    if resource.kind == "optimised" and resource.service == "lambda":
        return _invoke(call, call.parameters)
    shape = resource.operation.input_shape
    if resource.kind == "optimised" and resource.service == "states":
        return call.frame.execution.start_child(call)
    request = to_request(shape, call.parameters, "", call.parameters) if shape else {}
    if resource.service == "sagemaker" and resource.pattern == SYNC:
        request["Tags"] = [*request.get("Tags", []), MANAGED_TAG]
    answer = _send(call, request)
    pascal = resource.kind == "sdk"
    dates = iso if pascal else epoch_ms
    head = answer.pop("ResponseMetadata")
    output = to_json(answer, dates, pascal=pascal, shape=resource.operation.output_shape)
    if resource.service == "events" and output.get("FailedEntryCount"):
        raise StateError("EventBridge.FailedEntry", json.dumps(output))
    return output if pascal else {**output, **_metadata(head)}


def _metadata(head: dict[str, Any]) -> dict[str, Any]:
    headers = {key: str(value) for key, value in head.get("HTTPHeaders", {}).items()}
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {key: [value] for key, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": head.get("HTTPStatusCode", 200),
        },
        "SdkResponseMetadata": {"RequestId": head.get("RequestId", "")},
    }


def _send(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    client = call.frame.execution.client(call.resource.boto_service)
    names = {api: method for method, api in client.meta.method_to_api_mapping.items()}
    method = getattr(client, names[call.resource.operation.name])
    try:
        found = call.frame.life.call(lambda: _read(method(**request)), call.left())
    except ClientError as error:
        raise _translated(call, client, error) from error
    except BotoCoreError as error:
        name = _prefix(call.resource) + ".SdkClientException"
        raise StateError(name, f"{type(error).__name__}: {error}") from error
    except (TypeError, ValueError, KeyError) as error:
        raise StateError(RUNTIME, f"The request could not be made: {error}") from error
    return found  # type: ignore[no-any-return] # what the client method answers


def _read(answer: dict[str, Any]) -> dict[str, Any]:
    """Read streams in the thread that made the call."""
    return {
        key: item.read() if hasattr(item, "read") and hasattr(item, "iter_chunks") else item
        for key, item in answer.items()
    }


def _prefix(resource: Resource) -> str:
    if resource.kind == "sdk":
        return SDK_ERROR_NAMES[resource.service]
    return OPTIMISED_NAMES[resource.service if resource.kind == "optimised" else "lambda"][0]


def _translated(call: Call, client: Any, error: ClientError) -> StateError:
    """`S3.NoSuchKeyException`, `SageMaker.AmazonSageMakerException`, `Lambda.…` and so on."""
    resource, prefix = call.resource, _prefix(call.resource)
    code = str(error.response["Error"].get("Code", ""))
    message = str(error.response["Error"].get("Message", ""))
    head = error.response["ResponseMetadata"]
    modelled = code in client.exceptions._code_to_exception
    request_id, status = head.get("RequestId", ""), head.get("HTTPStatusCode", 0)
    if resource.kind == "sdk":
        name = code if modelled else prefix
        cause = f"{message} (Service: {prefix}, Status Code: {status}, Request ID: {request_id})"
        return StateError(f"{prefix}.{_exception(name)}", cause)
    service = resource.service if resource.kind == "optimised" else "lambda"
    name = _exception(code) if modelled else OPTIMISED_UNMODELLED[service]
    cause = (
        f"{message} (Service: {OPTIMISED_NAMES[service][1]}; Status Code: {status}; "
        f"Error Code: {code}; Request ID: {request_id}; Proxy: null)"
    )
    return StateError(f"{prefix}.{name}", cause)


def _exception(name: str) -> str:
    return name if name.endswith("Exception") else f"{name}Exception"


def _invoke(call: Call, parameters: Any) -> dict[str, Any]:
    """Lambda: errors of the function go by the names of its exceptions."""
    request = dict(parameters)
    payload = request.pop("Payload", {})
    request["Payload"] = json.dumps(payload).encode()
    answer = _send(call, request)
    raw = answer["Payload"].decode("utf-8", "replace")
    try:
        result = json.loads(raw) if raw else None
    except ValueError:
        result = raw
    if answer.get("FunctionError"):
        raise _function_error(result, raw)
    head = answer.pop("ResponseMetadata")
    names = ("ExecutedVersion", "LogResult")
    found: dict[str, Any] = {key: answer[key] for key in names if key in answer}
    return {**found, "Payload": result, "StatusCode": answer["StatusCode"], **_metadata(head)}


def _function_error(result: Any, raw: str) -> StateError:
    kind = result.get("errorType") if isinstance(result, dict) else None
    if not kind:
        text = "The cause could not be determined because Lambda did not return an error type."
        return StateError("Lambda.Unknown", f"{text} Returned payload: {raw}")
    return StateError(str(kind), raw)


def task_failed(described: Any) -> StateError:
    """A job or execution that ended badly: its whole description is the cause."""
    return StateError(TASK_FAILED, json.dumps(described, separators=(",", ":")))
