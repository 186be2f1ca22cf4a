"""Stacks, resources, events and change sets in the shapes of the API's answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from local.cloudformation.errors import TemplateError
from local.cloudformation.resources.base import key_values
from local.cloudformation.stacks import ChangeSet, Event, Plan, Stack, StackResource


def page(
    items: Sequence[Any], request: Mapping[str, Any], size: int
) -> tuple[list[Any], str | None]:
    """Return one page of a list, and the token of the next one."""
    token = str(request.get("NextToken") or "0")
    if not token.isdigit():
        raise TemplateError(f"Invalid NextToken {token}")
    start = int(token)
    following = str(start + size) if start + size < len(items) else None
    return list(items[start : start + size]), following


def ordered(stack: Stack) -> list[StackResource]:
    """Return a stack's resources by name."""
    with stack.lock:
        return [stack.resources[name] for name in sorted(stack.resources)]


def stack(item: Stack) -> dict[str, Any]:
    """Return a stack as DescribeStacks shows it."""
    plan = item.plan
    shown: dict[str, Any] = {
        "StackId": item.id,
        "StackName": item.name,
        "CreationTime": item.created,
        "LastUpdatedTime": item.updated,
        "DeletionTime": item.deleted,
        "StackStatus": item.status,
        "StackStatusReason": item.reason,
        "DisableRollback": bool(plan and plan.disable_rollback),
        "EnableTerminationProtection": item.termination_protection,
        "RoleARN": item.role_arn,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "Capabilities": plan.capabilities if plan else [],
        "Tags": key_values(plan.tags) if plan else [],
        "Parameters": _parameters(plan),
        "Outputs": item.outputs,
        "Description": plan.document.get("Description") if plan else None,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _parameters(plan: Plan | None) -> list[dict[str, str]]:
    shown = []
    for item in plan.parameters.values() if plan else ():
        entry = {"ParameterKey": item.key, "ParameterValue": "****" if item.no_echo else item.text}
        if item.from_store:
            value = ",".join(item.value) if isinstance(item.value, list) else str(item.value)
            entry["ResolvedValue"] = value
        shown.append(entry)
    return shown


def stack_summary(item: Stack) -> dict[str, Any]:
    """Return a stack as ListStacks shows it."""
    keys = (
        "StackId",
        "StackName",
        "CreationTime",
        "LastUpdatedTime",
        "DeletionTime",
        "StackStatus",
        "StackStatusReason",
        "DriftInformation",
    )
    shown = {key: value for key, value in stack(item).items() if key in keys}
    if item.plan and "Description" in item.plan.document:
        shown["TemplateDescription"] = item.plan.document["Description"]
    return shown


def event(item: Stack, entry: Event) -> dict[str, Any]:
    """Return one line of the history."""
    shown: dict[str, Any] = {
        "StackId": item.id,
        "EventId": entry.event_id,
        "StackName": item.name,
        "LogicalResourceId": entry.logical_id,
        "PhysicalResourceId": entry.physical_id,
        "ResourceType": entry.type_name,
        "Timestamp": entry.timestamp,
        "ResourceStatus": entry.status,
        "ResourceStatusReason": entry.reason,
        "ResourceProperties": entry.properties,
        "ClientRequestToken": entry.token,
    }
    return {key: value for key, value in shown.items() if value is not None}


def resource_summary(item: StackResource) -> dict[str, Any]:
    """Return a resource as ListStackResources shows it."""
    shown: dict[str, Any] = {
        "LogicalResourceId": item.logical_id,
        "PhysicalResourceId": item.physical_id,
        "ResourceType": item.type_name,
        "LastUpdatedTimestamp": item.updated,
        "ResourceStatus": item.status,
        "ResourceStatusReason": item.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
    return {key: value for key, value in shown.items() if value is not None}


def resource(owner: Stack, item: StackResource) -> dict[str, Any]:
    """Return a resource as DescribeStackResources shows it."""
    shown = resource_summary(item)
    shown["Timestamp"] = shown.pop("LastUpdatedTimestamp")
    return {**shown, "StackId": owner.id, "StackName": owner.name}


def resource_detail(owner: Stack, item: StackResource) -> dict[str, Any]:
    """Return a resource as DescribeStackResource shows it."""

    shown = {**resource_summary(item), "StackId": owner.id, "StackName": owner.name}
    if item.metadata is not None:
        shown["Metadata"] = json.dumps(item.metadata)
    return shown


def change_set_summary(owner: Stack, item: ChangeSet) -> dict[str, Any]:
    """Return a change set as ListChangeSets shows it."""
    shown: dict[str, Any] = {
        "StackId": owner.id,
        "StackName": owner.name,
        "ChangeSetId": item.id,
        "ChangeSetName": item.name,
        "ExecutionStatus": item.execution_status,
        "Status": item.status,
        "StatusReason": item.reason,
        "CreationTime": item.created,
        "Description": item.description,
        "IncludeNestedStacks": False,
    }
    return {key: value for key, value in shown.items() if value is not None}


def change_set(owner: Stack, item: ChangeSet, changes: list[Any]) -> dict[str, Any]:
    """Return a change set as DescribeChangeSet shows it."""
    shown = change_set_summary(owner, item)
    if item.plan is not None:
        shown["Parameters"] = _parameters(item.plan)
        shown["Tags"] = key_values(item.plan.tags)
        shown["Capabilities"] = item.plan.capabilities
    return {**shown, "Changes": changes}
