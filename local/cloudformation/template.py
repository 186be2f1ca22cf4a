"""A template as CloudFormation accepts it: sections, resource attributes, references.

`Template` is what every operation works on: transformed, with its conditions decided and its
references checked, but with values not yet evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloudformation.errors import TemplateError, unsupported
from local.cloudformation.intrinsics import (
    Evaluator,
    function_of,
    get_att_parts,
    sub_parts,
)
from local.cloudformation.parameters import ParameterValue

_SECTIONS = frozenset(
    [
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Mappings",
        "Conditions",
        "Resources",
        "Outputs",
        "Transform",
    ]
)
_REFUSED_SECTIONS = ("Rules", "Hooks")
_ATTRIBUTES = frozenset(
    [
        "Type",
        "Properties",
        "DependsOn",
        "Condition",
        "Metadata",
        "DeletionPolicy",
        "UpdateReplacePolicy",
        "UpdatePolicy",
        "CreationPolicy",
    ]
)
_POLICIES = {
    "DeletionPolicy": ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot"),
    "UpdateReplacePolicy": ("Delete", "Retain", "Snapshot"),
}
_NAME = re.compile(r"[A-Za-z0-9]+")
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
_LIMITS = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}


@dataclass(frozen=True)
class Template:
    """A transformed template with decided conditions."""

    document: Mapping[str, Any]
    parameters: Mapping[str, ParameterValue]
    conditions: Mapping[str, bool]
    resources: Mapping[str, Mapping[str, Any]] = field(repr=False)
    """Resources whose condition holds."""

    def dependencies(self, name: str) -> set[str]:
        """Return the resources that must exist before this one."""
        body = self.resources[name]
        used = {target for target, _ in references(body.get("Properties", {}), self.conditions)}
        wanted = body.get("DependsOn", [])
        used.update([wanted] if isinstance(wanted, str) else wanted)
        return {target for target in used if target in self.resources}


def check_structure(document: Mapping[str, Any], *, transformed: bool) -> None:
    """Refuse what CloudFormation refuses before it looks at any resource's properties."""
    for section in _REFUSED_SECTIONS:
        if section in document:
            raise unsupported(f"The template section {section}")
    allowed = _SECTIONS if transformed else _SECTIONS | {"Globals"}
    unknown = sorted(str(section) for section in document if section not in allowed)
    if unknown:
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    version = document.get("AWSTemplateFormatVersion", "2010-09-09")
    if version != "2010-09-09":
        raise TemplateError(
            f"Template format error: {version} is not a supported value for "
            "AWSTemplateFormatVersion."
        )
    _check_sections(document)
    for name, body in document["Resources"].items():
        _check_resource(str(name), body)
    for name, body in document.get("Outputs", {}).items():
        _check_output(str(name), body)


def _check_sections(document: Mapping[str, Any]) -> None:
    for section in ("Parameters", "Mappings", "Conditions", "Outputs", "Resources"):
        body = document.get(section, {})
        if not isinstance(body, dict):
            raise TemplateError(f"Template format error: {section} must be an object.")
        if len(body) > _LIMITS.get(section, 10_000):
            raise TemplateError(
                f"Template format error: Number of {section.lower()}, {len(body)}, is greater than "
                f"maximum allowed, {_LIMITS[section]}"
            )
    if not document.get("Resources"):
        raise TemplateError("Template format error: At least one Resources member must be defined.")


def _check_resource(name: str, body: Any) -> None:
    if not _NAME.fullmatch(name):
        raise TemplateError(f"Template format error: Resource name {name} is non alphanumeric.")
    if not isinstance(body, dict) or not isinstance(body.get("Type"), str):
        raise TemplateError(
            f"Template format error: [/Resources/{name}] Every Resources object must contain a "
            "Type member."
        )
    serverless = body["Type"].startswith("AWS::Serverless::")
    unknown = sorted(set(body) - _ATTRIBUTES - ({"Connectors"} if serverless else set()))
    if unknown:
        raise TemplateError(f"Invalid template resource property '{unknown[0]}'")
    for attribute in ("UpdatePolicy", "CreationPolicy"):
        if attribute in body:
            raise unsupported(f"The attribute {attribute} of resource {name}")
    if not isinstance(body.get("Properties", {}), dict):
        raise TemplateError(
            f"Template format error: [/Resources/{name}/Properties] must be an object."
        )
    _check_policies(name, body)


def _check_policies(name: str, body: Mapping[str, Any]) -> None:
    for attribute, values in _POLICIES.items():
        policy = body.get(attribute, "Delete")
        if not isinstance(policy, str):
            raise TemplateError(
                f"Template format error: Every {attribute} member must be a string."
            )
        if policy not in values:
            raise TemplateError(
                f"Template format error: Unrecognized {attribute} {policy} for resource {name}"
            )
        if policy == "Snapshot":
            raise unsupported(f"The {attribute} Snapshot of resource {name}")


def _check_output(name: str, body: Any) -> None:
    if not isinstance(body, dict) or "Value" not in body:
        raise TemplateError(
            f"Template format error: Every Outputs member must contain a Value object. ({name})"
        )
    unknown = sorted(set(body) - {"Value", "Description", "Export", "Condition"})
    if unknown:
        raise TemplateError(f"Invalid template output property '{unknown[0]}'")


def references(
    value: Any, conditions: Mapping[str, bool] | None = None
) -> Iterator[tuple[str, str | None]]:
    """Yield every (name, attribute or None) that a value refers to.

    With decided conditions, only the branch of a Fn::If that will be taken counts.
    """
    name = function_of(value)
    argument = value[name] if name else None
    if name == "Ref" and isinstance(argument, str):
        yield argument, None
    elif name == "Fn::GetAtt":
        resource, attribute = get_att_parts(argument)
        yield resource, attribute if isinstance(attribute, str) else None
    elif name == "Fn::Sub":
        yield from _sub_references(argument, conditions)
    elif name == "Fn::If" and conditions is not None and isinstance(argument, list):
        taken = argument[1:2] if conditions.get(str(argument[0])) else argument[2:3]
        yield from references(taken, conditions)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner, conditions)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner, conditions)


def _sub_references(
    argument: Any, conditions: Mapping[str, bool] | None
) -> Iterator[tuple[str, str | None]]:
    _, variables, names = sub_parts(argument)
    for used in names:
        if used not in variables:
            resource, dot, attribute = used.partition(".")
            yield resource, attribute if dot else None
    yield from references(list(variables.values()), conditions)


class _ConditionScope:
    """What conditions and mappings may name: parameters and other conditions."""

    def __init__(
        self,
        document: Mapping[str, Any],
        parameters: Mapping[str, ParameterValue],
        pseudo: Mapping[str, Any],
    ) -> None:
        self._document, self._parameters, self._pseudo = document, parameters, pseudo
        self._open: list[str] = []
        self._decided: dict[str, bool] = {}

    def ref(self, name: str) -> Any:
        if name in self._parameters:
            return self._parameters[name].value
        if name in self._pseudo:
            return self._pseudo[name]
        raise TemplateError(
            f"Template format error: Unresolved dependencies [{name}]. Cannot reference resources "
            "in the Conditions block of the template"
        )

    def attribute(self, resource: str, name: str) -> Any:
        raise TemplateError(
            "Template error: Cannot use Fn::GetAtt in the Conditions block of the template "
            f"({resource}.{name})"
        )

    def import_value(self, name: str) -> str:
        raise TemplateError(f"Template error: Cannot use Fn::ImportValue in Conditions. ({name})")

    def find_in_map(self, mapping: str, first: str, second: str) -> Any:
        return find_in_map(self._document, mapping, first, second)

    def condition(self, name: str) -> bool:
        declared = self._document.get("Conditions", {})
        if name not in declared:
            raise TemplateError(
                f"Template format error: Unresolved condition dependency {name} in the template"
            )
        if name in self._open:
            chain = ", ".join(self._open)
            raise TemplateError(
                f"Template error: Found circular condition dependency between conditions: [{chain}]"
            )
        if name not in self._decided:
            self._open.append(name)
            self._decided[name] = Evaluator(self).truth(declared[name])
            self._open.pop()
        return self._decided[name]


def find_in_map(document: Mapping[str, Any], mapping: str, first: str, second: str) -> Any:
    """Return a value of the Mappings section, or refuse as AWS does."""
    levels = document.get("Mappings", {})
    if mapping not in levels:
        raise TemplateError(
            f"Template error: Mapping named '{mapping}' is not present in the "
            "'Mappings' section of template."
        )
    found = levels[mapping].get(first, {}).get(second)
    if found is None:
        raise TemplateError(
            f"Template error: Unable to get mapping for {mapping}::{first}::{second}"
        )
    return found


def prepare(
    document: Mapping[str, Any],
    parameters: Mapping[str, ParameterValue],
    pseudo: Mapping[str, Any],
) -> Template:
    """Decide conditions, drop what they leave out, and check all references and cycles."""
    check_structure(document, transformed=True)
    scope = _ConditionScope(document, parameters, pseudo)
    conditions = {name: scope.condition(name) for name in document.get("Conditions", {})}
    resources = {
        name: body
        for name, body in document["Resources"].items()
        if "Condition" not in body or scope.condition(str(body["Condition"]))
    }
    template = Template(document, parameters, conditions, resources)
    known = set(parameters) | set(pseudo) | {"AWS::NoValue"}
    _check_references(template, known)
    find_cycle(template)
    return template


def _check_references(template: Template, known: set[str]) -> None:
    unresolved: set[str] = set()
    for body in template.resources.values():
        _check_used_conditions(body.get("Properties", {}), template.conditions)
        for target, attribute in references(body.get("Properties", {}), template.conditions):
            _check_reference(template, known, unresolved, target, attribute)
        wanted = body.get("DependsOn", [])
        for target in [wanted] if isinstance(wanted, str) else wanted:
            if target not in template.document["Resources"]:
                unresolved.add(str(target))
    if unresolved:
        names = ", ".join(sorted(unresolved))
        raise TemplateError(
            f"Template format error: Unresolved resource dependencies [{names}] "
            "in the Resources block of the template"
        )
    for output in template.document.get("Outputs", {}).values():
        if "Condition" in output and not template.conditions.get(str(output["Condition"])):
            continue
        for target, attribute in references(output, template.conditions):
            _check_reference(template, known, unresolved, target, attribute)
    if unresolved:
        names = ", ".join(sorted(unresolved))
        raise TemplateError(
            f"Template format error: Unresolved resource dependencies [{names}] "
            "in the Outputs block of the template"
        )


def _check_reference(
    template: Template, known: set[str], unresolved: set[str], target: str, attribute: str | None
) -> None:
    if target in template.resources or (attribute is None and target in known):
        return
    if attribute is not None:
        raise TemplateError(
            f"Template error: instance of Fn::GetAtt references undefined resource {target}"
        )
    unresolved.add(target)


def _check_used_conditions(value: Any, conditions: Mapping[str, bool]) -> None:
    if function_of(value) == "Fn::If" and isinstance(value["Fn::If"], list) and value["Fn::If"]:
        name = value["Fn::If"][0]
        if name not in conditions:
            raise TemplateError(
                f"Template format error: Unresolved condition dependency {name} "
                "in the Resources block of the template"
            )
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_used_conditions(inner, conditions)


def find_cycle(template: Template) -> None:
    """Refuse a template whose resources depend on one another in a circle."""
    pending = {name: template.dependencies(name) for name in template.resources}
    while pending:
        ready = {name for name, needs in pending.items() if not needs}
        if not ready:
            break
        pending = {name: needs - ready for name, needs in pending.items() if name not in ready}
    # What only depends on the circle is not part of it.
    while pending:
        needed = set().union(*pending.values())
        if needed >= set(pending):
            break
        pending = {name: needs for name, needs in pending.items() if name in needed}
    if pending:
        names = ", ".join(sorted(pending))
        raise TemplateError(f"Circular dependency between resources: [{names}]")
