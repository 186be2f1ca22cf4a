"""The CloudFormation API: each operation a method, parsed and serialised by moto.core."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from local.cloudformation import describe
from local.cloudformation.changes import Preview
from local.cloudformation.errors import (
    AlreadyExistsError,
    ChangeSetStatusError,
    ResourceError,
    TemplateError,
    unsupported,
)
from local.cloudformation.planning import check_expansion
from local.cloudformation.service import Service
from local.cloudformation.stacks import ChangeSet, Plan, Stack

_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_UPDATABLE = (
    "CREATE_COMPLETE",
    "CREATE_FAILED",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE",
)
_NO_CHANGES = (
    "The submitted information didn't contain changes. Submit different information to create a "
    "change set."
)
_TEMPLATE = "TemplateBody TemplateURL"
_CHANGE = (
    f"StackName {_TEMPLATE} UsePreviousTemplate Parameters Capabilities RoleARN Tags "
    "ClientRequestToken DisableRollback"
)
# Parameters that each operation carries out; any other one is refused by name.
_ACCEPTED = {
    "CreateStack": f"{_CHANGE} OnFailure EnableTerminationProtection",
    "UpdateStack": _CHANGE,
    "CreateChangeSet": (
        f"{_CHANGE} ChangeSetName ChangeSetType Description OnStackFailure ClientToken"
    ),
    "DescribeChangeSet": "ChangeSetName StackName NextToken",
    "ExecuteChangeSet": "ChangeSetName StackName ClientRequestToken DisableRollback",
    "DeleteChangeSet": "ChangeSetName StackName",
    "ListChangeSets": "StackName NextToken",
    "DeleteStack": "StackName RetainResources RoleARN ClientRequestToken",
    "DescribeStacks": "StackName NextToken",
    "DescribeStackEvents": "StackName NextToken",
    "DescribeStackResources": "StackName LogicalResourceId PhysicalResourceId",
    "DescribeStackResource": "StackName LogicalResourceId",
    "ListStackResources": "StackName NextToken",
    "ListStacks": "StackStatusFilter NextToken",
    "GetTemplate": "StackName ChangeSetName TemplateStage",
    "GetTemplateSummary": f"StackName {_TEMPLATE}",
    "ValidateTemplate": _TEMPLATE,
    "ListExports": "NextToken",
    "ListImports": "ExportName NextToken",
    "UpdateTerminationProtection": "StackName EnableTerminationProtection",
}


class CloudFormationResponse(BaseResponse):
    """One request to CloudFormation."""

    service: Service

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    def _request(self) -> Mapping[str, Any]:
        """Return the request's parameters; refuse those that have no effect here."""
        action = self._get_action()
        request = {key: value for key, value in dict(self.params).items() if value is not None}
        for key, value in request.items():
            if key not in _ACCEPTED[action].split() and value not in ([], {}, "", False):
                raise unsupported(f"The parameter {key} of {action}")
        return request

    def create_stack(self) -> ActionResult:
        """Create a stack from a template."""
        request, service = self._request(), self.service
        name = _checked_name(request)
        with service.store.lock:
            if service.store.find(name) is not None:
                raise AlreadyExistsError(f"Stack [{name}] already exists")
            if request.get("DisableRollback") and "OnFailure" in request:
                raise TemplateError(
                    "Either DisableRollback or OnFailure can be specified, not both."
                )
            stack = service.store.add(name, "REVIEW_IN_PROGRESS")
        try:
            plan = service.planner.plan(request, stack)
            check_expansion(plan, plan.capabilities)
        except BaseException:
            service.store.forget(stack)
            raise
        stack.role_arn = request.get("RoleARN")
        stack.termination_protection = bool(request.get("EnableTerminationProtection"))
        service.engine.create(stack, plan)
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:
        """Update a stack directly."""
        request, service = self._request(), self.service
        stack = self._stack(request)
        _check_updatable(stack)
        plan = service.planner.plan(request, stack)
        check_expansion(plan, plan.capabilities)
        preview = Preview(service.cloud, service.store, service.kinds, stack, plan)
        try:
            changes = preview.changes()
        except ResourceError as error:
            raise TemplateError(str(error)) from error
        if not changes and preview.nothing_else():
            raise TemplateError("No updates are to be performed.")
        service.engine.update(stack, plan)
        return ActionResult({"StackId": stack.id})

    def create_change_set(self) -> ActionResult:
        """Work out what a template would change. It is complete when the call returns."""
        request, service = self._request(), self.service
        kind = str(request.get("ChangeSetType", "UPDATE"))
        if kind == "IMPORT":
            raise unsupported("The change set type IMPORT")
        stack = self._stack_for(request, kind)
        name = str(request["ChangeSetName"])
        if name in stack.change_sets:
            raise AlreadyExistsError(f"ChangeSet [{name}] already exists")
        arn = f"{stack.id.split(':stack/')[0]}:changeSet/{name}/{uuid.uuid4()}"
        change_set = ChangeSet(
            name, arn, kind, service.store.now(), request.get("Description"), request=request
        )
        try:
            self._fill(stack, change_set, request)
        except BaseException:
            if stack.status == "REVIEW_IN_PROGRESS" and not stack.change_sets:
                service.store.forget(stack)
            raise
        with stack.lock:
            stack.change_sets[name] = change_set
        if kind == "CREATE" and not stack.events:
            service.store.record(stack, None, "REVIEW_IN_PROGRESS", "User Initiated")
        return ActionResult({"Id": arn, "StackId": stack.id})

    def _fill(self, stack: Stack, change_set: ChangeSet, request: Mapping[str, Any]) -> None:
        service = self.service
        try:
            plan = service.planner.plan(request, stack)
            preview = Preview(service.cloud, service.store, service.kinds, stack, plan)
            change_set.changes = preview.changes()
        except TemplateError as error:
            # The transform runs after AWS has answered: its errors are the change set's.
            if not error.message.startswith("Transform "):
                raise
            change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
            change_set.reason = error.message
            return
        except ResourceError as error:
            raise TemplateError(str(error)) from error
        change_set.plan = plan
        if change_set.kind == "UPDATE" and not change_set.changes and preview.nothing_else():
            change_set.status, change_set.execution_status = "FAILED", "UNAVAILABLE"
            change_set.reason = _NO_CHANGES

    def _stack_for(self, request: Mapping[str, Any], kind: str) -> Stack:
        name, store = str(request["StackName"]), self.service.store
        with store.lock:
            stack = store.find(name)
            if kind == "UPDATE":
                if stack is None:
                    raise TemplateError(f"Stack [{name}] does not exist")
                _check_updatable(stack)
                return stack
            if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                raise TemplateError(
                    f"Stack [{name}] already exists and cannot be created again with "
                    f"the changeSet [{request['ChangeSetName']}]."
                )
            return stack or store.add(_checked_name(request), "REVIEW_IN_PROGRESS")

    def describe_change_set(self) -> ActionResult:
        """Describe a change set, a page of changes at a time."""
        request = self._request()
        stack, change_set = self._change_set(request)
        page, token = describe.page(change_set.changes, request, 100)
        return ActionResult({**describe.change_set(stack, change_set, page), "NextToken": token})

    def execute_change_set(self) -> ActionResult:
        """Carry out a change set."""
        request, service = self._request(), self.service
        stack, change_set = self._change_set(request)
        with stack.lock:
            if change_set.execution_status != "AVAILABLE" or change_set.plan is None:
                raise ChangeSetStatusError(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of "
                    f"[{change_set.status}]"
                )
            if stack.busy:
                raise TemplateError(
                    f"Stack:{stack.id} is in {stack.status} state and can not be updated."
                )
            change_set.execution_status = "EXECUTE_COMPLETE"
            stack.change_sets = {change_set.name: change_set}
        plan: Plan = change_set.plan
        plan.token = request.get("ClientRequestToken")
        plan.disable_rollback = bool(request.get("DisableRollback")) or plan.disable_rollback
        if change_set.kind == "CREATE":
            stack.role_arn = change_set.request.get("RoleARN")
            service.engine.create(stack, plan)
        else:
            service.engine.update(stack, plan)
        return ActionResult({})

    def delete_change_set(self) -> ActionResult:
        """Delete a change set."""
        stack, change_set = self._change_set(self._request())
        with stack.lock:
            stack.change_sets.pop(change_set.name, None)
        return ActionResult({})

    def list_change_sets(self) -> ActionResult:
        """List a stack's change sets."""
        request = self._request()
        stack = self._stack(request)
        summaries = [
            describe.change_set_summary(stack, item) for item in stack.change_sets.values()
        ]
        page, token = describe.page(summaries, request, 100)
        return ActionResult({"Summaries": page, "NextToken": token})

    def delete_stack(self) -> ActionResult:
        """Delete a stack; deleting one that is not there is done already."""
        request, service = self._request(), self.service
        stack = service.store.find(str(request["StackName"]))
        if stack is None or stack.status == "DELETE_COMPLETE":
            return EmptyResult()
        if stack.termination_protection:
            raise TemplateError(
                f"Stack [{stack.id}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.busy:
            if stack.status == "DELETE_IN_PROGRESS":
                return EmptyResult()
            raise TemplateError(
                f"Stack [{stack.name}] cannot be deleted while in status {stack.status}"
            )
        retain = request.get("RetainResources") or []
        if retain and stack.status != "DELETE_FAILED":
            raise TemplateError(
                f"Invalid operation on stack [{stack.id}]. RetainResources can only "
                "be used on a stack in the DELETE_FAILED state."
            )
        service.engine.delete(stack, retain, request.get("ClientRequestToken"))
        return EmptyResult()

    def describe_stacks(self) -> ActionResult:
        """Describe one stack, or all that are not deleted."""
        request, store = self._request(), self.service.store
        stacks = [self._stack(request)] if "StackName" in request else list(store.live())
        page, token = describe.page([describe.stack(item) for item in stacks], request, 100)
        return ActionResult({"Stacks": page, "NextToken": token})

    def list_stacks(self) -> ActionResult:
        """List stacks, the deleted ones included."""
        request = self._request()
        wanted = request.get("StackStatusFilter") or []
        stacks = [item for item in self.service.store.all() if not wanted or item.status in wanted]
        page, token = describe.page([describe.stack_summary(item) for item in stacks], request, 100)
        return ActionResult({"StackSummaries": page, "NextToken": token})

    def describe_stack_events(self) -> ActionResult:
        """Return a stack's history, the latest first."""
        request = self._request()
        stack = self._stack(request)
        events = [describe.event(stack, item) for item in reversed(stack.events)]
        page, token = describe.page(events, request, 100)
        return ActionResult({"StackEvents": page, "NextToken": token})

    def describe_stack_resources(self) -> ActionResult:
        """Describe resources by stack, or the stack that a physical id belongs to."""
        request = self._request()
        if "PhysicalResourceId" in request:
            wanted = str(request["PhysicalResourceId"])
            stack = self.service.owner_of(wanted)
        else:
            stack = self._stack(request)
        logical = request.get("LogicalResourceId")
        found = [
            describe.resource(stack, item)
            for item in describe.ordered(stack)
            if logical in (None, item.logical_id)
        ]
        return ActionResult({"StackResources": found})

    def describe_stack_resource(self) -> ActionResult:
        """Describe one resource."""
        request = self._request()
        stack, name = self._stack(request), str(request["LogicalResourceId"])
        if name not in stack.resources:
            raise TemplateError(f"Resource {name} does not exist for stack {stack.name}")
        detail = describe.resource_detail(stack, stack.resources[name])
        return ActionResult({"StackResourceDetail": detail})

    def list_stack_resources(self) -> ActionResult:
        """List a stack's resources."""
        request = self._request()
        stack = self._stack(request)
        summaries = [describe.resource_summary(item) for item in describe.ordered(stack)]
        page, token = describe.page(summaries, request, 100)
        return ActionResult({"StackResourceSummaries": page, "NextToken": token})

    def get_template(self) -> ActionResult:
        """Return a template as it was given, or as the transform left it."""
        request = self._request()
        if "ChangeSetName" in request:
            stack, change_set = self._change_set(request)
            plan = change_set.plan
        else:
            stack = self._stack(request)
            plan = stack.plan
        if plan is None:
            raise TemplateError(f"Template for stack [{stack.name}] does not exist")
        processed = request.get("TemplateStage", "Original") == "Processed"
        body = json.dumps(plan.template.document) if processed else plan.body
        return ActionResult({"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]})

    def get_template_summary(self) -> ActionResult:
        """Tell what a template declares."""
        request = self._request()
        if "StackName" in request:
            stack = self._stack(request)
            if stack.plan is None:
                raise TemplateError(f"Stack {stack.name} has no template yet")
            return ActionResult(self.service.planner.summary(stack.plan.body))
        return ActionResult(self.service.planner.summary(self.service.planner.body(request)))

    def validate_template(self) -> ActionResult:
        """Check a template's form."""
        summary = self.service.planner.summary(self.service.planner.body(self._request()))
        kept = (
            "Parameters",
            "Description",
            "Capabilities",
            "CapabilitiesReason",
            "DeclaredTransforms",
        )
        return ActionResult({key: summary[key] for key in kept if key in summary})

    def list_exports(self) -> ActionResult:
        """List what all stacks export."""
        request = self._request()
        exports = [
            {"ExportingStackId": stack.id, "Name": name, "Value": value}
            for stack in self.service.store.live()
            for name, value in stack.exports.items()
        ]
        page, token = describe.page(sorted(exports, key=lambda item: item["Name"]), request, 100)
        return ActionResult({"Exports": page, "NextToken": token})

    def list_imports(self) -> ActionResult:
        """List the stacks that import a name."""
        request = self._request()
        name = str(request["ExportName"])
        if self.service.store.export(name) is None:
            raise TemplateError(f"No export named {name} found.")
        importers = self.service.store.importers(name)
        if not importers:
            raise TemplateError(f"Export '{name}' is not imported by any stack.")
        page, token = describe.page(importers, request, 100)
        return ActionResult({"Imports": page, "NextToken": token})

    def update_termination_protection(self) -> ActionResult:
        """Switch termination protection."""
        request = self._request()
        stack = self._stack(request)
        stack.termination_protection = bool(request["EnableTerminationProtection"])
        return ActionResult({"StackId": stack.id})

    def _stack(self, request: Mapping[str, Any]) -> Stack:
        if "StackName" not in request:
            raise TemplateError("StackName is required")
        return self.service.store.get(str(request["StackName"]))

    def _change_set(self, request: Mapping[str, Any]) -> tuple[Stack, ChangeSet]:
        name, stack = str(request["ChangeSetName"]), request.get("StackName")
        return self.service.store.change_set(name, stack)


def _checked_name(request: Mapping[str, Any]) -> str:
    name = str(request["StackName"])
    if not _NAME.fullmatch(name):
        raise TemplateError(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    return name


def _check_updatable(stack: Stack) -> None:
    if stack.status not in _UPDATABLE:
        raise TemplateError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
