"""Bring a stack's resources to a plan, and back again when that fails."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from local.cloudformation.errors import ResourceError
from local.cloudformation.handling import Handling, reason_of
from local.cloudformation.kinds import Kinds
from local.cloudformation.scope import StackScope
from local.cloudformation.stacks import Plan, Stack, StackResource, Store
from local.cloudformation.work import inverted, run_graph

if TYPE_CHECKING:
    from local.cloud import Cloud


class Deployment:
    """One attempt to carry out a plan on a stack's resources."""

    def __init__(self, cloud: Cloud, store: Store, kinds: Kinds, stack: Stack, plan: Plan) -> None:
        self._cloud, self._store, self._kinds, self._stack = cloud, store, kinds, stack
        self._plan = plan
        self._former = stack.plan if stack.plan is not plan else None
        self._former_tags = self._former.tags if self._former else {}
        self._handling = Handling(cloud, store, kinds, stack, plan.tags)
        self.scope = StackScope(cloud, store, stack, plan)
        self.obsolete: list[StackResource] = []
        """Replaced resources, to be deleted after success."""
        self.fresh: list[StackResource] = []
        """Resources that this attempt made, to be deleted when it is taken back."""
        self._before: dict[str, StackResource] = {}
        self._touched: list[str] = []

    def apply(self) -> list[str]:
        """Create and change resources in dependency order; return the names that failed."""
        template = self._plan.template
        needs = {name: template.dependencies(name) for name in template.resources}
        return run_graph(needs, self._apply_one)

    def _apply_one(self, name: str) -> bool:
        with self._stack.lock:
            current = self._stack.resources.get(name)
            if current is not None and current.physical_id is None:
                current = None  # a creation that failed and was left as it was
            if current is not None:
                self._before[name] = copy.copy(current)
        try:
            properties = self._properties(name)
            if current is None:
                return self._create(self._new(name, properties))
            return self._change(current, self._new(name, properties))
        except Exception as error:
            status = "CREATE_FAILED" if current is None else "UPDATE_FAILED"
            resource = current or self._new(name, {})
            with self._stack.lock:
                self._stack.resources[name] = resource
                if current is None:
                    self.fresh.append(resource)
            self._store.record(self._stack, resource, status, reason_of(error))
            return False

    def _properties(self, name: str) -> dict[str, Any]:
        body = self._plan.template.resources[name]
        given = self.scope.evaluator.evaluate(body.get("Properties", {}))
        return self._kinds.accept(str(body["Type"]), given)

    def _new(self, name: str, properties: dict[str, Any]) -> StackResource:
        body = self._plan.template.resources[name]
        return StackResource(
            logical_id=name,
            type_name=str(body["Type"]),
            status="CREATE_IN_PROGRESS",
            updated=self._store.now(),
            properties=properties,
            deletion_policy=body.get("DeletionPolicy", "Delete"),
            update_replace_policy=body.get("UpdateReplacePolicy", "Delete"),
            metadata=body.get("Metadata"),
            needs=frozenset(self._plan.template.dependencies(name)),
        )

    def _create(self, resource: StackResource) -> bool:
        with self._stack.lock:
            self._stack.resources[resource.logical_id] = resource
            self.fresh.append(resource)
        return self._handling.create(resource)

    def _change(self, current: StackResource, wanted: StackResource) -> bool:
        kind = self._kinds.of(current.type_name)
        old, new = current.properties, wanted.properties
        retagged = kind.tagged and self._former_tags != self._plan.tags
        if old != new:
            recreated = self._kinds.must_replace(current.type_name, old, new)
            if recreated:
                return self._replace(current, wanted, recreated)
        replaced: str | bool | None = None
        if old != new or retagged:
            with self._stack.lock:
                self._touched.append(current.logical_id)
            replaced = self._handling.update(current, new, self._former_tags)
            if replaced is False:
                return False
        if isinstance(replaced, str):
            before = self._before[current.logical_id]
            self.obsolete.append(replace(before, physical_id=replaced))
        current.deletion_policy = wanted.deletion_policy
        current.update_replace_policy = wanted.update_replace_policy
        current.metadata, current.needs = wanted.metadata, wanted.needs
        return True

    def _replace(self, current: StackResource, wanted: StackResource, recreated: list[str]) -> bool:
        name_property = self._kinds.of(current.type_name).custom_name
        given = wanted.properties.get(name_property) if name_property else None
        if given is not None and given == current.properties.get(str(name_property)):
            raise ResourceError(
                "CloudFormation cannot update a stack when a custom-named resource requires "
                f"replacing. Rename {given} and update the stack again. (changed: "
                f"{', '.join(recreated)})"
            )
        reason = (
            "Requested update requires the creation of a new physical resource; hence creating one."
        )
        self._store.record(self._stack, current, "UPDATE_IN_PROGRESS", reason)
        with self._stack.lock:
            self._stack.resources[current.logical_id] = wanted
            self.fresh.append(wanted)
            self.obsolete.append(current)
        if not self._handling.create(wanted):
            return False
        self._store.record(self._stack, wanted, "UPDATE_COMPLETE")
        return True

    def outputs(self) -> list[dict[str, str]]:
        """Return the evaluated outputs; refuse exports that clash or are in use elsewhere."""
        outputs = []
        for name, body in self._plan.template.document.get("Outputs", {}).items():
            if "Condition" in body and not self._plan.template.conditions[str(body["Condition"])]:
                continue
            value = self.scope.evaluator.evaluate(body["Value"])
            if isinstance(value, (dict, list)):
                raise ResourceError(
                    f"Template format error: Output {name} is malformed. The Value "
                    "field of every Outputs member must evaluate to a String."
                )
            text = str(value).lower() if isinstance(value, bool) else str(value)
            output = {"OutputKey": name, "OutputValue": text}
            if "Description" in body:
                output["Description"] = str(body["Description"])
            if "Export" in body:
                output["ExportName"] = str(self.scope.evaluator.evaluate(body["Export"]["Name"]))
            outputs.append(output)
        self._check_exports(outputs)
        return outputs

    def _check_exports(self, outputs: list[dict[str, str]]) -> None:
        after = {out["ExportName"]: out["OutputValue"] for out in outputs if "ExportName" in out}
        for name in after:
            found = self._store.export(name)
            if found is not None and found[0] is not self._stack:
                raise ResourceError(
                    f"Export with name {name} is already exported by stack {found[0].name}"
                )
        for name, value in self._stack.exports.items():
            users = self._store.importers(name)
            if users and name not in after:
                raise ResourceError(
                    f"Export {name} cannot be deleted as it is in use by {', '.join(users)}"
                )
            if users and after[name] != value:
                raise ResourceError(
                    f"Cannot update export {name} as it is in use by {', '.join(users)}"
                )

    def removed(self) -> list[StackResource]:
        """Return the resources of the stack that the plan no longer has."""
        template = self._plan.template
        return [
            item for name, item in self._stack.resources.items() if name not in template.resources
        ]

    def take_back(self) -> list[str]:
        """Restore what was changed and put replaced resources back; return what failed."""
        tags = self._former_tags
        handling = Handling(self._cloud, self._store, self._kinds, self._stack, tags)
        failed = []
        for resource in self.fresh:
            before = self._before.get(resource.logical_id)
            with self._stack.lock:
                if before is None:
                    self._stack.resources.pop(resource.logical_id, None)
                else:
                    self._stack.resources[resource.logical_id] = before
        for name in reversed(self._touched):
            before, current = self._before[name], self._stack.resources[name]
            if name in self._handling.unchanged:
                with self._stack.lock:
                    self._stack.resources[name] = before
                continue
            replaced = handling.update(current, before.properties, self._plan.tags)
            if replaced is False:
                failed.append(name)
                continue
            if isinstance(replaced, str):
                self.fresh.append(replace(current, physical_id=replaced))
        for name, before in self._before.items():
            current = self._stack.resources[name]
            current.deletion_policy = before.deletion_policy
            current.update_replace_policy = before.update_replace_policy
            current.metadata, current.needs = before.metadata, before.needs
        return failed


def tear_down(handling: Handling, resources: list[StackResource]) -> list[StackResource]:
    """Delete resources, those that need others first; return those that could not be deleted."""
    numbered = {str(number): resource for number, resource in enumerate(resources)}
    needs = {
        key: {other for other, found in numbered.items() if found.logical_id in resource.needs}
        for key, resource in numbered.items()
    }
    failed = run_graph(inverted(needs), lambda key: handling.delete(numbered[key]), go_on=True)
    return [numbered[key] for key in failed]
