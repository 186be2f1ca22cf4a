"""What a Task's Resource names, and whether the local cloud can do it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

SDK_NAMES = {
    "sfn": "stepfunctions",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
    "sagemakerruntime": "sagemaker-runtime",
    "sagemakera2iruntime": "sagemaker-a2i-runtime",
    "sagemakerfeaturestoreruntime": "sagemaker-featurestore-runtime",
}
# How the names of an SDK integration's errors begin.
SDK_ERROR_NAMES = {
    "cloudformation": "CloudFormation",
    "cloudwatch": "CloudWatch",
    "cloudwatchlogs": "CloudWatchLogs",
    "dynamodb": "DynamoDb",
    "eventbridge": "EventBridge",
    "iam": "Iam",
    "kms": "Kms",
    "lambda": "Lambda",
    "s3": "S3",
    "sagemaker": "SageMaker",
    "sagemakera2iruntime": "SageMakerA2IRuntime",
    "sagemakerfeaturestoreruntime": "SageMakerFeatureStoreRuntime",
    "sagemakerruntime": "SageMakerRuntime",
    "scheduler": "Scheduler",
    "secretsmanager": "SecretsManager",
    "sfn": "Sfn",
    "sns": "Sns",
    "sqs": "Sqs",
    "ssm": "Ssm",
    "sts": "Sts",
}
TOKEN, SYNC, SYNC2 = "waitForTaskToken", "sync", "sync:2"
_JOBS = (
    *("createTrainingJob", "createProcessingJob", "createTransformJob"),
    "createHyperParameterTuningJob",
)
_SAGEMAKER = (*_JOBS, "createModel", "createEndpointConfig", "createEndpoint", "updateEndpoint")
OPTIMISED: dict[str, dict[str, tuple[str, ...]]] = {
    "lambda": {"invoke": (TOKEN,)},
    "sagemaker": {name: (SYNC,) if name in _JOBS else () for name in _SAGEMAKER},
    "dynamodb": dict.fromkeys(("getItem", "putItem", "updateItem", "deleteItem"), ()),
    "sns": {"publish": (TOKEN,)},
    "sqs": {"sendMessage": (TOKEN,)},
    "events": {"putEvents": (TOKEN,)},
    "states": {"startExecution": (SYNC, SYNC2, TOKEN)},
}
_BOTO = {"states": "stepfunctions"}
_INTEGRATION = re.compile(
    r"arn:aws(?:-[a-z-]+)?:states:[a-z0-9-]*:\d*:(aws-sdk:)?([a-z0-9]+):([A-Za-z0-9]+)"
    r"(?:\.(waitForTaskToken|sync:2|sync))?"
)
_FUNCTION = re.compile(r"arn:aws(?:-[a-z-]+)?:lambda:[a-z0-9-]+:\d{12}:function:[^\s]+")
_UNKNOWN = (
    "The resource provided {} is not recognized. The value is not a valid resource ARN, or the "
    "resource is not available in this region."
)


@dataclass(frozen=True)
class Resource:
    """A parsed Resource. `kind` is `function`, `sdk` or `optimised`."""

    arn: str
    kind: str
    service: str = ""
    action: str = ""
    pattern: str = ""

    @property
    def resource_type(self) -> str:
        """As events show it."""
        return f"aws-sdk:{self.service}" if self.kind == "sdk" else self.service

    @property
    def resource(self) -> str:
        """As events show it."""
        return self.action + (f".{self.pattern}" if self.pattern else "")

    @property
    def boto_service(self) -> str:
        """botocore's name of the service."""
        names = SDK_NAMES if self.kind == "sdk" else _BOTO
        return names.get(self.service, self.service)

    @property
    def operation(self) -> OperationModel:
        """botocore's model of the action."""
        name = self.action[0].upper() + self.action[1:]
        return _model(self.boto_service).operation_model(name)


@cache
def _model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def parse_resource(arn: str) -> Resource:
    """Parse; ValueError with AWS's text, or by name what the local cloud does not do."""
    if _FUNCTION.fullmatch(arn):
        return Resource(arn, "function", "lambda", "invoke")
    found = _INTEGRATION.fullmatch(arn)
    if found is None:
        if ":activity:" in arn:
            raise ValueError("the local cloud does not support activities yet")
        raise ValueError(_UNKNOWN.format(arn))
    sdk, service, action, pattern = found.groups()
    resource = Resource(arn, "sdk" if sdk else "optimised", service, action, pattern or "")
    if sdk:
        known = service in SDK_ERROR_NAMES and action[0].islower()
        name = action[0].upper() + action[1:]
        if not known or name not in _model(resource.boto_service).operation_names:
            raise ValueError(_UNKNOWN.format(arn))
        return resource
    if service not in OPTIMISED or action not in OPTIMISED[service]:
        raise ValueError(f"the local cloud does not support the integration {arn} yet")
    if pattern and pattern not in OPTIMISED[service][action]:
        raise ValueError(_UNKNOWN.format(arn))
    return resource


def parameter_problems(resource: Resource, parameters: Any) -> list[tuple[str, str]]:
    """What is wrong with the names of a Task's Parameters: (path below Parameters, text)."""
    if resource.kind == "function":
        return []
    shape = resource.operation.input_shape
    if shape is None or not isinstance(parameters, dict):
        return []
    found = list(_unknown_names(shape, parameters, ""))
    given = {key.removesuffix(".$")[:1].lower() + key.removesuffix(".$")[1:] for key in parameters}
    for name in shape.required_members:
        if name[:1].lower() + name[1:] not in given:
            found.append(("", f"The field '{name}' is required but was missing"))
    return found


def _unknown_names(  # noqa: C901 - one branch a kind of shape
    shape: Shape, value: Any, path: str
) -> Iterator[tuple[str, str]]:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        if getattr(shape, "is_document_type", False):
            return
        for key, item in value.items():
            member = member_of(shape, key.removesuffix(".$"))
            if member is None:
                yield f"{path}/{key}", f"The field '{key}' is not supported by Step Functions"
            elif not key.endswith(".$"):
                yield from _unknown_names(shape.members[member], item, f"{path}/{key}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown_names(shape.member, item, f"{path}[{number}]")
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for key, item in value.items():
            if not key.endswith(".$"):
                yield from _unknown_names(shape.value, item, f"{path}/{key}")


def member_of(shape: StructureShape, name: str) -> str | None:
    """The member that a Parameters key means: Step Functions spells all of them PascalCase."""
    if name in shape.members:
        return name
    lower = name[:1].lower() + name[1:]
    return lower if name[:1].isupper() and lower in shape.members else None
