"""The templates as CloudFormation gets them: short forms read, SAM transformed, offline."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from samtranslator.translator.transform import transform  # type: ignore[import-untyped]  # has no types
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # has no types

ROOT = Path(__file__).resolve().parents[2]
SUBSTITUTED = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?\}")


class _ManagedPolicies:
    """SAM asks for the managed policies that it names; ours are all spelled out."""

    def load(self) -> dict[str, str]:
        return {
            "AWSLambdaBasicExecutionRole": "arn:aws:iam::aws:policy/service-role/"
            "AWSLambdaBasicExecutionRole"
        }


@dataclass(frozen=True)
class Template:
    """One template: its text, and the document that the text holds."""

    text: str
    raw: dict[str, Any]

    @cached_property
    def transformed(self) -> dict[str, Any]:
        """The template after the SAM transform."""
        source = copy.deepcopy(self.raw)
        # Only an uploaded artifact has an address; where it lies plays no role here.
        for resource in source["Resources"].values():
            properties = resource.get("Properties", {})
            for key in ("CodeUri", "ContentUri", "DefinitionUri"):
                if key in properties:
                    properties[key] = f"s3://artifacts/{properties[key]}"
        done: dict[str, Any] = transform(source, {}, _ManagedPolicies())
        return done

    @property
    def resources(self) -> dict[str, Any]:
        """The transformed resources by logical id."""
        found: dict[str, Any] = self.transformed["Resources"]
        return found

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of each transformed resource of a type."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }


def read(text: str) -> Template:
    """A template from its text."""
    return Template(text, yaml_parse(text))


@cache
def main_template() -> Template:
    """The committed main template."""
    return read((ROOT / "template.yaml").read_text("utf-8"))


def references(value: Any) -> Iterator[str]:
    """Every logical id, parameter or pseudo parameter that a value refers to."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield (inner if isinstance(inner, str) else inner[0]).split(".")[0]
            elif key == "Fn::Sub":
                text, names = (inner, {}) if isinstance(inner, str) else inner
                yield from (n for n in SUBSTITUTED.findall(text) if n not in names)
                yield from references(names)
            elif key == "Condition" and isinstance(inner, str):
                continue
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def dependencies(resource: Mapping[str, Any]) -> set[str]:
    """What must exist before a resource does."""
    explicit = resource.get("DependsOn", [])
    found = set(references(resource.get("Properties", {})))
    return found | ({explicit} if isinstance(explicit, str) else set(explicit))


def as_list(value: Any) -> list[Any]:
    """IAM allows one thing where it allows many."""
    return value if isinstance(value, list) else [value]


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every IAM statement in a value, also below Fn::If."""
    if isinstance(value, Mapping):
        if "Effect" in value and ("Action" in value or "NotAction" in value):
            yield dict(value)
        else:
            for inner in value.values():
                yield from statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from statements(inner)
