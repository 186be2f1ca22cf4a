"""The AWS::Serverless-2016-10-31 transform, by AWS's own translator, offline."""

from __future__ import annotations

import copy
import importlib
import os
import threading
from collections.abc import Mapping
from typing import Any

from local.cloudformation.errors import TemplateError, unsupported

SAM = "AWS::Serverless-2016-10-31"

# The managed policies that the translator looks up by name; all others are given by ARN.
_MANAGED_POLICIES = {
    name: f"arn:aws:iam::aws:policy/{path}{name}"
    for name, path in {
        "AWSLambdaBasicExecutionRole": "service-role/",
        "AWSLambdaVPCAccessExecutionRole": "service-role/",
        "AWSLambdaSQSQueueExecutionRole": "service-role/",
        "AWSLambdaDynamoDBExecutionRole": "service-role/",
        "AWSLambdaKinesisExecutionRole": "service-role/",
        "AWSXRayDaemonWriteAccess": "",
        "AWSXrayWriteOnlyAccess": "",
        "AmazonS3ReadOnlyAccess": "",
        "CloudWatchLambdaInsightsExecutionRolePolicy": "",
    }.items()
}
# The translator keeps the Region in a class attribute and finds it in the environment.
_LOCK = threading.Lock()


class _Policies:
    def load(self) -> dict[str, str]:
        return _MANAGED_POLICIES


def transforms_of(document: Mapping[str, Any]) -> list[str]:
    """Return the macros a template asks for; refuse, by name, those that we do not have."""
    declared = document.get("Transform", [])
    names = declared if isinstance(declared, list) else [declared]
    for name in names:
        if name != SAM:
            raise unsupported(f"The transform {name}")
    return [str(name) for name in names]


def apply_transforms(
    document: dict[str, Any], parameters: Mapping[str, Any], region: str
) -> dict[str, Any]:
    """Return the template with SAM's resources translated to CloudFormation's.

    Raises TemplateError with the translator's own list of errors.
    """
    if not transforms_of(document):
        return document
    # Here, because it takes a second to import.
    from samtranslator.model import exceptions  # type: ignore[import-untyped]  # noqa: PLC0415
    from samtranslator.translator import (  # type: ignore[import-untyped]  # noqa: PLC0415
        arn_generator,
        transform,
    )

    with _LOCK:
        os.environ.setdefault("AWS_DEFAULT_REGION", region)
        arn_generator.ArnGenerator.BOTO_SESSION_REGION_NAME = region
        try:
            translated = transform.transform(copy.deepcopy(document), dict(parameters), _Policies())
        except exceptions.InvalidDocumentException as error:
            causes = " ".join(cause.message for cause in error.causes)
            raise TemplateError(f"Transform {SAM} failed with: {error.message} {causes}") from error
    translated.pop("Transform", None)
    return dict(translated)


def warm_up() -> None:
    """Import the translator ahead of the first deployment."""
    importlib.import_module("samtranslator.translator.transform")
