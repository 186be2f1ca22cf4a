"""Event patterns: moto's matcher, with arrays of objects, which moto does not enter."""

import json
from collections.abc import Iterator
from typing import Any

from moto.events.models import EventPattern

MAX_VARIANTS = 1000


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether the event matches; one matching element of an array of objects is enough."""
    if _is_told_apart(pattern, event):
        return False
    matcher = EventPattern(json.dumps(pattern), pattern)
    asked = _asked(pattern, event)
    if not _has_objects_in_arrays(asked):
        return bool(matcher.matches_event(asked))
    for number, variant in enumerate(_variants(asked)):
        if number >= MAX_VARIANTS:
            return False
        if matcher.matches_event(variant):
            return True
    return False


def _is_told_apart(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Whether a plain text of the envelope (source, detail type) rules the event out already.

    Every event is offered to every rule, and nearly all of them differ there.
    """
    for name, wanted in pattern.items():
        is_plain = isinstance(wanted, list) and all(isinstance(each, str) for each in wanted)
        if is_plain and isinstance(event.get(name), str) and event[name] not in wanted:
            return True
    return False


def _asked(pattern: Any, node: Any) -> Any:
    """The part of an event that a pattern looks at: variants of the rest would all be alike."""
    if isinstance(node, list):
        return [_asked(pattern, item) for item in node]
    if not isinstance(pattern, dict) or not isinstance(node, dict):
        return node
    looked_at: dict[str, list[Any]] = {}
    for part in (pattern, *(each for each in pattern.get("$or", ()) if isinstance(each, dict))):
        for name, inner in part.items():
            if name in node:
                looked_at.setdefault(name, []).append(inner)
    return {
        name: _asked(inner[0], node[name]) if len(inner) == 1 else node[name]
        for name, inner in looked_at.items()
    }


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
