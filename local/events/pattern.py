"""Event patterns: moto's matcher, with arrays of objects, which moto does not enter."""

import json
from collections.abc import Iterator
from typing import Any

from moto.events.models import EventPattern

MAX_VARIANTS = 1000


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether the event matches; one matching element of an array of objects is enough."""
    matcher = EventPattern(json.dumps(pattern), pattern)
    if not _has_objects_in_arrays(event):
        return bool(matcher.matches_event(event))  # type: ignore[arg-type] # plain dict
    for number, variant in enumerate(_variants(event)):
        if number >= MAX_VARIANTS:
            return False
        if matcher.matches_event(variant):
            return True
    return False


def _has_objects_in_arrays(node: Any) -> bool:
    if isinstance(node, dict):
        return any(_has_objects_in_arrays(value) for value in node.values())
    return isinstance(node, list) and any(isinstance(item, dict) for item in node)


def _variants(node: Any) -> Iterator[Any]:
    """The node with each array of objects replaced by each of its elements in turn."""
    if isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for item in node:
            yield from _variants(item)
        return
    if not isinstance(node, dict):
        yield node
        return
    keys = list(node)

    def build(index: int, made: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if index == len(keys):
            yield dict(made)
            return
        for value in _variants(node[keys[index]]):
            made[keys[index]] = value
            yield from build(index + 1, made)

    yield from build(0, {})
