"""Resource schemas: what AWS publishes about every resource type, as bundled with cfn-lint.

Only the JSON files are read; cfn-lint itself is not imported (it takes a second and 100 MB).
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

_REGION_FILE = "eu-west-1.json"


@cache
def _folder() -> Path:
    found = importlib.util.find_spec("cfnlint")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("cfn-lint is missing: run `make setup` again")
    return Path(found.submodule_search_locations[0]) / "data" / "schemas"


@cache
def _catalogue() -> dict[str, str]:
    text = (_folder() / "providers" / _REGION_FILE).read_text(encoding="utf-8")
    return dict(json.loads(text))


def is_published(resource_type: str) -> bool:
    """Tell whether AWS has this resource type at all."""
    return resource_type in _catalogue()


@cache
def schema_of(resource_type: str) -> dict[str, Any]:
    """Return the resource schema of a type (read once)."""
    path = _folder() / "resources" / f"{_catalogue()[resource_type]}.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


# Keywords that relate several resources of one template: rules of ours cover those.
_CROSS_RESOURCE = "cfnGather"
# Extensions that only hold at one place below the properties, as cfn-lint's rules apply them.
_BELOW = {
    "environment_variable_keys": ("Environment", "Variables"),
    "awslayer": ("Layers", "*"),
}


@cache
def extensions_of(resource_type: str) -> tuple[dict[str, Any], ...]:
    """Return cfn-lint's additions to a schema: conditions between properties of one resource."""
    folder = _folder() / "extensions" / resource_type.lower().replace("::", "_")
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        rule = json.loads(path.read_text(encoding="utf-8"))
        if _CROSS_RESOURCE in rule:
            continue
        for step in reversed(_BELOW.get(path.stem, ())):
            rule = {"items": rule} if step == "*" else {"properties": {step: rule}}
        found.append(rule)
    return tuple(found)


def create_only(resource_type: str) -> list[list[str]]:
    """Return the paths of the properties whose change means replacement."""
    return [_path(pointer) for pointer in schema_of(resource_type).get("createOnlyProperties", [])]


def read_only(resource_type: str) -> set[str]:
    """Return the properties that only AWS sets (dotted), as Fn::GetAtt names them."""
    pointers = schema_of(resource_type).get("readOnlyProperties", [])
    return {".".join(_path(pointer)) for pointer in pointers}


def _path(pointer: str) -> list[str]:
    return [step for step in pointer.split("/")[2:] if step]
