"""IAM policy documents, checked for what IAM refuses as MalformedPolicyDocument."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
_DOCUMENT = ("Version", "Id", "Statement")
_STATEMENT = (
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
_VERSIONS = ("2012-10-17", "2008-10-17")


def policy_problems(document: Any, *, identity: bool) -> list[str]:
    """Return why IAM would refuse the document (MalformedPolicyDocument).

    `identity` policies name resources; trust and resource policies name principals.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except json.JSONDecodeError:
            return ["Syntax errors in policy: not JSON"]
    if not isinstance(document, Mapping):
        return ["Syntax errors in policy: not an object"]
    found = [
        f"Syntax errors in policy: unknown element {key}"
        for key in document
        if key not in _DOCUMENT
    ]
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        found.append(f"Syntax errors in policy: Version {document['Version']}")
    statements = document.get("Statement")
    if not statements:
        return [*found, "Syntax errors in policy: missing Statement"]
    sids: set[str] = set()
    for statement in statements if isinstance(statements, list) else [statements]:
        found += _statement_problems(statement, identity=identity)
        sid = statement.get("Sid") if isinstance(statement, Mapping) else None
        if sid is not None and sid in sids:
            found.append(f"Statement IDs (SID) in a single policy must be unique: {sid}")
        if sid is not None:
            sids.add(sid)
    return found


def _statement_problems(statement: Any, *, identity: bool) -> list[str]:
    if not isinstance(statement, Mapping):
        return ["Syntax errors in policy: a statement must be an object"]
    found = [
        f"Syntax errors in policy: unknown element {key} in a statement"
        for key in statement
        if key not in _STATEMENT
    ]
    if statement.get("Effect") not in ("Allow", "Deny"):
        found.append(
            "Syntax errors in policy: Effect must be Allow or Deny, found "
            f"{statement.get('Effect')}"
        )
    if sum(key in statement for key in ("Action", "NotAction")) != 1:
        found.append("Policy statement must contain actions.")
    if identity:
        if sum(key in statement for key in ("Resource", "NotResource")) != 1:
            found.append("Policy statement must contain resources.")
        if "Principal" in statement or "NotPrincipal" in statement:
            found.append("Policy document should not specify a principal.")
    elif sum(key in statement for key in ("Principal", "NotPrincipal")) != 1:
        found.append("Missing required field Principal")
    return found + _action_problems(statement) + _resource_problems(statement)


def _action_problems(statement: Mapping[str, Any]) -> list[str]:
    actions = statement.get("Action", statement.get("NotAction", []))
    found = []
    for action in actions if isinstance(actions, list) else [actions]:
        if not isinstance(action, str) or (action != "*" and ":" not in action):
            found.append(
                f"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, "
                f"etc. Found: {action}"
            )
    return found


def _resource_problems(statement: Mapping[str, Any]) -> list[str]:
    resources = statement.get("Resource", statement.get("NotResource", []))
    found = []
    for resource in resources if isinstance(resources, list) else [resources]:
        if not isinstance(resource, str) or not (resource == "*" or resource.startswith("arn:")):
            found.append(f'Resource {resource} must be in ARN format or "*".')
    condition = statement.get("Condition", {})
    if not isinstance(condition, Mapping) or not all(
        isinstance(body, Mapping) for body in condition.values()
    ):
        found.append("Syntax errors in policy: Condition must map operators to keys and values")
    return found
