"""Template text to plain data: JSON, or YAML with CloudFormation's short forms."""

from __future__ import annotations

import json
from typing import Any

import yaml

from local.cloudformation.errors import TemplateError

# Short forms keep their long name, but for two: https://docs.aws.amazon.com/
# AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
_WITHOUT_PREFIX = ("Ref", "Condition")


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: short forms, no dates, no repeated keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _construct_function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in _WITHOUT_PREFIX else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # only kind left
    return {name: value}


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise TemplateError(f"Template format error: duplicate key '{key}' (line {line})")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _construct_function)
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def parse_template(text: str) -> dict[str, Any]:
    """Return the template as data.

    Raises TemplateError, worded as AWS words it, when the text is neither JSON nor YAML.
    """
    try:
        if text.lstrip().startswith("{"):
            document = json.loads(text)
        else:
            document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as error:
        raise TemplateError(
            f"Template format error: JSON not well-formed. (line {error.lineno}, "
            f"column {error.colno})"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise TemplateError(f"Template format error: YAML not well-formed.{where}") from error
    if not isinstance(document, dict):
        raise TemplateError("Template format error: unsupported structure.")
    return document
