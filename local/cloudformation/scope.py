"""What the names of a template stand for, in a stack that is being made, and in a preview."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.cloudformation.errors import ResourceError, TemplateError
from local.cloudformation.intrinsics import KNOWN_AFTER_APPLY, Evaluator
from local.cloudformation.stacks import Plan, Stack, Store
from local.cloudformation.template import find_in_map

if TYPE_CHECKING:
    from local.cloud import Cloud


def pseudo_parameters(cloud: Cloud, name: str, stack_id: str) -> dict[str, Any]:
    """Return the values of AWS::Region and its like."""
    return {
        "AWS::AccountId": cloud.account,
        "AWS::NotificationARNs": [],
        "AWS::Partition": "aws",
        "AWS::Region": cloud.region,
        "AWS::StackId": stack_id,
        "AWS::StackName": name,
        "AWS::URLSuffix": "amazonaws.com",
    }


class StackScope:
    """Names as they stand while a plan is carried out on a stack."""

    def __init__(self, cloud: Cloud, store: Store, stack: Stack, plan: Plan) -> None:
        self._store, self._stack, self._plan = store, stack, plan
        self._pseudo = pseudo_parameters(cloud, stack.name, stack.id)
        self.imports: set[str] = set()
        self.evaluator = Evaluator(self)

    def ref(self, name: str) -> Any:
        """Return a parameter's value or a resource's physical id."""
        if name in self._plan.parameters:
            return self._plan.parameters[name].value
        if name in self._pseudo:
            return self._pseudo[name]
        return self.physical_id(name)

    def physical_id(self, name: str) -> str:
        """Return what Ref gives for a resource."""
        resource = self._stack.resources.get(name)
        if resource is None or resource.physical_id is None:
            raise TemplateError(f"Unresolved resource dependency {name}")
        return resource.physical_id

    def attribute(self, resource: str, name: str) -> Any:
        """Return an attribute of a resource that exists."""
        found = self._stack.resources.get(resource)
        if found is None:
            raise TemplateError(
                f"Template error: instance of Fn::GetAtt references undefined resource {resource}"
            )
        value: Any = found.attributes
        if name in found.attributes:
            return found.attributes[name]
        for part in name.split("."):
            if not isinstance(value, dict) or part not in value:
                raise ResourceError(
                    f"Vendor response doesn't contain {name} attribute in object "
                    f"{found.physical_id}"
                )
            value = value[part]
        return value

    def find_in_map(self, mapping: str, first: str, second: str) -> Any:
        """Return a value of the Mappings section."""
        return find_in_map(self._plan.template.document, mapping, first, second)

    def condition(self, name: str) -> bool:
        """Return a decided condition."""
        try:
            return self._plan.template.conditions[name]
        except KeyError as error:
            raise TemplateError(
                f"Template format error: Unresolved condition dependency {name}"
            ) from error

    def import_value(self, name: str) -> str:
        """Return another stack's export, and remember that this stack uses it."""
        found = self._store.export(name)
        if found is None or found[0] is self._stack:
            raise TemplateError(f"No export named {name} found.")
        self.imports.add(name)
        return found[1]


class PreviewScope(StackScope):
    """Names as a change set sees them: what the update will bring is not known yet."""

    def __init__(self, cloud: Cloud, store: Store, stack: Stack, plan: Plan) -> None:
        super().__init__(cloud, store, stack, plan)
        self.unknown: set[str] = set()
        """Resources that will be new or replaced."""
        self.changing: set[str] = set()
        """Resources whose attributes may change."""

    def physical_id(self, name: str) -> str:
        """Return the id of a resource that stays what it is."""
        if name in self.unknown or name not in self._stack.resources:
            return KNOWN_AFTER_APPLY
        return super().physical_id(name)

    def attribute(self, resource: str, name: str) -> Any:
        """Return an attribute of a resource that stays what it is."""
        if resource in self.unknown | self.changing or resource not in self._stack.resources:
            return KNOWN_AFTER_APPLY
        return super().attribute(resource, name)
