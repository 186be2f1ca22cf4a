"""From a request to a plan: template text, transform, parameters, capabilities."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlparse

from botocore.exceptions import ClientError

from local.cloudformation.errors import CapabilitiesError, TemplateError
from local.cloudformation.kinds import Kinds, needed_capabilities
from local.cloudformation.parameters import resolve_parameters
from local.cloudformation.parse import parse_template
from local.cloudformation.sam import apply_transforms, transforms_of
from local.cloudformation.scope import pseudo_parameters
from local.cloudformation.stacks import Plan, Stack
from local.cloudformation.template import check_structure, prepare

if TYPE_CHECKING:
    from local.cloud import Cloud

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
BODY_LIMIT, URL_LIMIT = 51_200, 1_048_576
_BUCKET_HOST = re.compile(r"(?P<bucket>.+)\.s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com")
_REGION_HOST = re.compile(r"s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com")


class Planner:
    """Makes plans from requests."""

    def __init__(self, cloud: Cloud, kinds: Kinds) -> None:
        self._cloud, self._kinds = cloud, kinds

    def body(self, request: Mapping[str, Any], stack: Stack | None = None) -> str:
        """Return the template text that a request gives, names or leaves as it was."""
        if request.get("TemplateBody") is not None:
            text = str(request["TemplateBody"])
            if len(text.encode()) > BODY_LIMIT:
                raise TemplateError(
                    "1 validation error detected: Value at 'templateBody' failed to satisfy "
                    f"constraint: Member must have length less than or equal to {BODY_LIMIT}"
                )
            return text
        if request.get("TemplateURL"):
            return self._fetch(str(request["TemplateURL"]))
        if request.get("UsePreviousTemplate") and stack is not None and stack.plan is not None:
            return stack.plan.body
        raise TemplateError("Either Template URL or Template Body must be specified.")

    def _fetch(self, url: str) -> str:
        parsed = urlparse(url)
        host, path = parsed.hostname or "", unquote(parsed.path).lstrip("/")
        virtual = _BUCKET_HOST.fullmatch(host)
        if virtual:
            bucket, key = virtual.group("bucket"), path
        elif host in ("127.0.0.1", "localhost") or _REGION_HOST.fullmatch(host):
            bucket, _, key = path.partition("/")
        else:
            raise TemplateError("TemplateURL must be a supported URL.")
        version = parse_qs(parsed.query).get("versionId")
        wanted = {"VersionId": version[0]} if version else {}
        try:
            answer = self._cloud.client("s3").get_object(Bucket=bucket, Key=key, **wanted)
        except ClientError as error:
            raise TemplateError(
                f"S3 error: {error.response['Error'].get('Message')} ({url})"
            ) from error
        body = answer["Body"].read()
        if len(body) > URL_LIMIT:
            raise TemplateError(f"Template may not exceed {URL_LIMIT} bytes in size.")
        return str(body.decode())

    def plan(self, request: Mapping[str, Any], stack: Stack) -> Plan:
        """Return what the request wants the stack to be.

        Raises TemplateError and CapabilitiesError in AWS's words.
        """
        text = self.body(request, stack)
        document = parse_template(text)
        check_structure(document, transformed=False)
        former = stack.plan
        previous = {key: item.text for key, item in former.parameters.items()} if former else {}
        parameters = resolve_parameters(
            document.get("Parameters", {}), request.get("Parameters") or [], previous, self._read
        )
        pseudo = pseudo_parameters(self._cloud, stack.name, stack.id)
        # The transform sees pseudo parameters, too; a list has no place among them.
        texts = {key: value for key, value in pseudo.items() if isinstance(value, str)}
        texts.update({key: item.value for key, item in parameters.items()})
        transformed = apply_transforms(document, texts, self._cloud.region)
        template = prepare(transformed, parameters, pseudo)
        self._kinds.check_template(template)
        capabilities = list(request.get("Capabilities") or [])
        _check_capabilities(needed_capabilities(template), capabilities)
        if "Tags" in request or former is None:
            tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or []}
        else:
            tags = former.tags
        return Plan(
            body=text,
            document=document,
            template=template,
            parameters=parameters,
            tags=tags,
            capabilities=capabilities,
            token=request.get("ClientRequestToken"),
            disable_rollback=bool(request.get("DisableRollback")),
            on_failure=str(request.get("OnFailure") or request.get("OnStackFailure") or "ROLLBACK"),
        )

    def summary(self, text: str) -> dict[str, Any]:
        """Return what GetTemplateSummary and ValidateTemplate tell about a template."""
        document = parse_template(text)
        check_structure(document, transformed=False)
        parameters = [_described(key, body) for key, body in document.get("Parameters", {}).items()]
        types = [str(body["Type"]) for body in document["Resources"].values()]
        summary: dict[str, Any] = {
            "Parameters": parameters,
            "ResourceTypes": sorted(set(types)),
            "DeclaredTransforms": transforms_of(document),
            "Version": str(document.get("AWSTemplateFormatVersion", "2010-09-09")),
        }
        if "Description" in document:
            summary["Description"] = str(document["Description"])
        iam = sorted({kind for kind in types if kind.startswith("AWS::IAM::")})
        if iam:
            summary["Capabilities"] = ["CAPABILITY_NAMED_IAM"]
            summary["CapabilitiesReason"] = (
                f"The following resource(s) require capabilities: [{', '.join(iam)}]"
            )
        if summary["DeclaredTransforms"]:
            summary["Capabilities"] = [*summary.get("Capabilities", []), "CAPABILITY_AUTO_EXPAND"]
        return summary

    def _read(self, name: str) -> str:
        try:
            parameter = self._cloud.client("ssm").get_parameter(Name=name)["Parameter"]
        except ClientError as error:
            raise TemplateError(
                f"Unable to fetch parameters [{name}] from parameter store for this account."
            ) from error
        return str(parameter["Value"])


def _check_capabilities(needed: list[str], given: list[str]) -> None:
    accepted = set(given)
    if "CAPABILITY_NAMED_IAM" in accepted:
        accepted.add("CAPABILITY_IAM")
    missing = [name for name in needed if name not in accepted]
    if missing:
        raise CapabilitiesError(f"Requires capabilities : [{', '.join(missing)}]")


def check_expansion(plan: Plan, given: list[str]) -> None:
    """Refuse a direct CreateStack or UpdateStack of a template with macros, unless the caller
    accepts their unseen result; a change set shows it first and needs no such word."""
    if transforms_of(plan.document) and "CAPABILITY_AUTO_EXPAND" not in given:
        raise CapabilitiesError("Requires capabilities : [CAPABILITY_AUTO_EXPAND]")


def _described(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "ParameterKey": key,
        "ParameterType": str(body.get("Type")),
        "NoEcho": str(body.get("NoEcho", False)).lower() == "true",
        "ParameterConstraints": {
            "AllowedValues": [str(value) for value in body.get("AllowedValues", [])]
        },
    }
    if "Default" in body:
        described["DefaultValue"] = str(body["Default"])
    if "Description" in body:
        described["Description"] = str(body["Description"])
    return described
