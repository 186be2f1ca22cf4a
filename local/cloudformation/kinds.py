"""Which handler serves a resource type, and what must hold before it is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.cloudformation import schema
from local.cloudformation.custom import CustomResource, is_custom
from local.cloudformation.errors import ResourceError, TemplateError, unsupported
from local.cloudformation.intrinsics import KNOWN_AFTER_APPLY
from local.cloudformation.resources import RESOURCE_TYPES
from local.cloudformation.resources.base import Properties, ResourceType
from local.cloudformation.template import Template, references
from local.cloudformation.validate import validate

_NAMED_IAM = ("RoleName", "ManagedPolicyName", "UserName", "GroupName", "InstanceProfileName")


class Kinds:
    """The resource types of this cloud."""

    def __init__(self, custom: CustomResource) -> None:
        self._custom = custom

    def of(self, type_name: str) -> ResourceType:
        """Return the handler of a type; refuse, by name, a type that we do not have."""
        if is_custom(type_name):
            return self._custom
        if type_name in RESOURCE_TYPES:
            return RESOURCE_TYPES[type_name]
        if schema.is_published(type_name):
            raise unsupported(f"The resource type {type_name}")
        raise TemplateError(f"Template format error: Unrecognized resource types: [{type_name}]")

    def check_template(self, template: Template) -> None:
        """Refuse unknown types, and attributes that a type does not have."""
        for body in template.resources.values():
            self.of(str(body["Type"]))
        places = [body.get("Properties", {}) for body in template.resources.values()]
        places += [
            output
            for output in template.document.get("Outputs", {}).values()
            if "Condition" not in output or template.conditions.get(str(output["Condition"]))
        ]
        for place in places:
            for target, attribute in references(place, template.conditions):
                if attribute is not None and target in template.resources:
                    type_name = str(template.resources[target]["Type"])
                    self._check_attribute(target, type_name, attribute)

    def _check_attribute(self, target: str, type_name: str, attribute: str) -> None:
        if is_custom(type_name) or attribute in self.of(type_name).attributes:
            return
        if attribute in schema.read_only(type_name):
            raise unsupported(f"The attribute {attribute} of {type_name} (resource {target})")
        raise TemplateError(
            f"Template error: resource {target} does not support attribute type "
            f"{attribute} in Fn::GetAtt"
        )

    def convert(self, type_name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return properties with the types that the schema wants, whatever else is wrong."""
        if is_custom(type_name):
            return dict(properties)
        return validate(properties, schema.schema_of(type_name))[0]

    def accept(self, type_name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return converted properties, or raise ResourceError with everything that is wrong."""
        kind = self.of(type_name)
        if is_custom(type_name):
            converted = dict(properties)
        else:
            extensions = schema.extensions_of(type_name)
            converted, errors = validate(properties, schema.schema_of(type_name), *extensions)
            if errors:
                raise ResourceError(
                    f"Properties validation failed for resource with message: [{', '.join(errors)}]"
                )
            own = sorted(set(converted) & schema.read_only(type_name))
            if own:
                raise ResourceError(f"Encountered read-only properties: [{', '.join(own)}]")
            for name in sorted(set(converted) - kind.carried_out):
                raise ResourceError(
                    f"Property {name} of {type_name} is not supported by the local cloud"
                )
        problems = kind.problems(converted)
        if problems:
            raise ResourceError("; ".join(problems))
        return converted

    def must_replace(self, type_name: str, old: Properties, new: Properties) -> list[str]:
        """Return the changed properties that need a new resource."""
        if is_custom(type_name):
            self._custom.replaces(old, new)  # refuses another service token
            return []
        paths = schema.create_only(type_name)
        changed = [".".join(path) for path in paths if _at(old, path) != _at(new, path)]
        if not changed and self.of(type_name).replaces(old, new):
            changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        return changed


def _at(value: Any, path: list[str]) -> Any:
    for step in path:
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def changed_properties(old: Properties, new: Properties) -> list[str]:
    """Return the names of the top-level properties that differ, or may differ."""
    return sorted(
        key
        for key in {*old, *new}
        if old.get(key) != new.get(key)
        or KNOWN_AFTER_APPLY in json.dumps(new.get(key), default=str)
    )


def needed_capabilities(template: Template) -> list[str]:
    """Return the acknowledgements that a template's resources ask for."""
    needed = set()
    for body in template.resources.values():
        if str(body["Type"]).startswith("AWS::IAM::"):
            named = any(key in body.get("Properties", {}) for key in _NAMED_IAM)
            needed.add("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
    if "CAPABILITY_NAMED_IAM" in needed:
        needed.discard("CAPABILITY_IAM")
    return sorted(needed)
