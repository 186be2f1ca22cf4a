"""What a plan would change on a stack: the content of a change set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.cloudformation.errors import ResourceError
from local.cloudformation.intrinsics import KNOWN_AFTER_APPLY
from local.cloudformation.kinds import Kinds, changed_properties
from local.cloudformation.scope import PreviewScope
from local.cloudformation.stacks import Plan, Stack, StackResource, Store
from local.cloudformation.template import Template

if TYPE_CHECKING:
    from local.cloud import Cloud


class Preview:
    """Compares a stack with a plan, without touching anything."""

    def __init__(self, cloud: Cloud, store: Store, kinds: Kinds, stack: Stack, plan: Plan) -> None:
        self._kinds, self._stack, self._plan = kinds, stack, plan
        self._scope = PreviewScope(cloud, store, stack, plan)

    def changes(self) -> list[dict[str, Any]]:
        """Return the resource changes as DescribeChangeSet shows them."""
        template = self._plan.template
        found = []
        for name in in_order(template):
            current = self._stack.resources.get(name)
            if current is None or current.physical_id is None:
                self._scope.unknown.add(name)
                found.append(_change("Add", name, str(template.resources[name]["Type"])))
            else:
                change = self._modification(name, current)
                found += [change] if change else []
        found += [
            _change("Remove", name, item.type_name, item.physical_id)
            for name, item in self._stack.resources.items()
            if name not in template.resources
        ]
        return sorted(found, key=lambda item: str(item["ResourceChange"]["LogicalResourceId"]))

    def nothing_else(self) -> bool:
        """Tell whether outputs and tags stay what they are as well."""
        former = self._stack.plan
        if former is None or former.tags != self._plan.tags:
            return False
        outputs = {}
        for name, body in self._plan.template.document.get("Outputs", {}).items():
            if "Condition" in body and not self._plan.template.conditions[str(body["Condition"])]:
                continue
            outputs[name] = (
                _text(self._scope.evaluator.evaluate(body["Value"])),
                body.get("Description"),
                _text(self._scope.evaluator.evaluate(body.get("Export", {}).get("Name"))),
            )
        return outputs == {
            out["OutputKey"]: (out["OutputValue"], out.get("Description"), out.get("ExportName"))
            for out in self._stack.outputs
        }

    def _modification(self, name: str, current: StackResource) -> dict[str, Any] | None:
        body = self._plan.template.resources[name]
        type_name = str(body["Type"])
        if type_name != current.type_name:
            raise ResourceError(
                "Update of resource type is not permitted. The new template modifies resource type "
                f"of the following resources: [{name}]"
            )
        given = self._scope.evaluator.evaluate(body.get("Properties", {}))
        new = self._kinds.convert(type_name, given)
        scope, replacement = [], "False"
        names = changed_properties(current.properties, new)
        if names:
            scope.append("Properties")
            replacement = self._replacement(name, current, new)
        if body.get("Metadata") != current.metadata:
            scope.append("Metadata")
        for attribute, value in (
            ("DeletionPolicy", current.deletion_policy),
            ("UpdateReplacePolicy", current.update_replace_policy),
        ):
            if body.get(attribute, "Delete") != value:
                scope.append(attribute)
        former = self._stack.plan
        if former and former.tags != self._plan.tags and self._kinds.of(type_name).tagged:
            scope.append("Tags")
        if not scope:
            return None
        if names:
            self._scope.changing.add(name)
        change = _change("Modify", name, type_name, current.physical_id)
        change["ResourceChange"].update(
            Replacement=replacement, Scope=scope, Details=_details(names, new)
        )
        return change

    def _replacement(self, name: str, current: StackResource, new: dict[str, Any]) -> str:
        try:
            recreated = self._kinds.must_replace(current.type_name, current.properties, new)
        except ResourceError:
            return "False"  # execution will say why this change is refused
        if not recreated:
            return "False"
        if any(KNOWN_AFTER_APPLY in json.dumps(new.get(key.split(".")[0])) for key in recreated):
            return "Conditional"
        self._scope.unknown.add(name)
        return "True"


def in_order(template: Template) -> list[str]:
    """Return the resources so that each comes after what it needs."""
    order: list[str] = []
    pending = {name: template.dependencies(name) for name in template.resources}
    while pending:
        ready = sorted(name for name, needs in pending.items() if not needs - set(order))
        order += ready
        for name in ready:
            del pending[name]
    return order


def _change(
    action: str, name: str, type_name: str, physical_id: str | None = None
) -> dict[str, Any]:
    change: dict[str, Any] = {
        "Action": action,
        "LogicalResourceId": name,
        "ResourceType": type_name,
        "Scope": [],
        "Details": [],
    }
    if physical_id is not None:
        change["PhysicalResourceId"] = physical_id
    return {"Type": "Resource", "ResourceChange": change}


def _details(names: list[str], new: dict[str, Any]) -> list[dict[str, Any]]:
    details = []
    for name in names:
        dynamic = KNOWN_AFTER_APPLY in json.dumps(new.get(name), default=str)
        details.append(
            {
                "Target": {"Attribute": "Properties", "Name": name},
                "Evaluation": "Dynamic" if dynamic else "Static",
                "ChangeSource": "ResourceReference" if dynamic else "DirectModification",
            }
        )
    return details


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)
