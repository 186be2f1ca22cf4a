"""What a person changed in a baseline's constraints, carried on to the next baseline.

A baseline is written twice: `original.json` as it follows from the data, and `constraints.json`,
which people may edit. Their difference is what people decided. The next run suggests new
constraints; every place that a person changed keeps the person's value there, all else is new.

A place is written as a JSON pointer. An entry of a list whose entries have names is named by its
name, not by its number (`/features/name=age/completeness`), so that reordered and new entries
disturb nothing; a `=` in a key is written `~2`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SECTION = "perennial"  # our own notes in the file; nothing in them is a person's constraint
KEYS = ("name", "value_or_threshold")

# A part of a path: the key of an object, or the key and value that name an entry of a list.
Part = str | tuple[str, str]
Path = tuple[Part, ...]


@dataclass(frozen=True)
class Edit:
    """One place that a person changed: its value now, or that it was taken out."""

    path: Path
    value: Any = None
    removed: bool = False

    @property
    def pointer(self) -> str:
        """The place in words of the file."""
        return pointer(self.path)


@dataclass(frozen=True)
class Merged:
    """Constraints with a person's edits, and what became of each edit."""

    document: dict[str, Any]
    kept: tuple[Edit, ...] = ()
    lapsed: tuple[Edit, ...] = ()


def merge_edits(
    original: Mapping[str, Any], edited: Mapping[str, Any], suggested: Mapping[str, Any]
) -> Merged:
    """Carry on what a person changed between `original` and `edited` to the `suggested`.

    An edit of something that the suggestion no longer has (a column that is gone, say) lapses.
    `edited` may say in `perennial.kept_edits` what earlier baselines kept: such a place stays a
    person's while it has the person's value, even where the data came to suggest the same.
    Merging twice changes nothing more, and without edits the result is the suggestion.
    """
    before, after = _without_notes(original), _without_notes(edited)
    edits = [*_differences(before, after, ()), *_still_kept(edited, before, after)]
    document = copy.deepcopy(_without_notes(suggested))
    # Asked of the suggestion as it is: an edit that empties a list must not end the next one.
    kept = tuple(edit for edit in edits if not _has_lapsed(edit, before, document))
    lapsed = tuple(edit for edit in edits if edit not in kept)
    for edit in kept:
        _apply(document, edit)
    return Merged(document, kept, lapsed)


def annotate(merged: Merged, suggested: Mapping[str, Any]) -> dict[str, Any]:
    """The merged constraints with the notes of the suggestion, and the edits under
    `perennial.kept_edits` and `perennial.lapsed_edits`."""
    notes = {**suggested.get(SECTION, {}), "kept_edits": [_note(edit) for edit in merged.kept]}
    if merged.lapsed:
        notes["lapsed_edits"] = [_note(edit) for edit in merged.lapsed]
    return {**merged.document, SECTION: notes}


def pointer(path: Path) -> str:
    """A path as text; `parse_pointer` reads it back."""
    parts = []
    for part in path:
        if isinstance(part, tuple):
            parts.append(f"{part[0]}={_escaped(part[1])}")
        else:
            parts.append(_escaped(part).replace("=", "~2"))
    return "".join(f"/{part}" for part in parts)


def parse_pointer(text: str) -> Path:
    """The path that a text names; raises ValueError when it begins without a slash."""
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no pointer: it must begin with /")
    path: list[Part] = []
    for part in text.split("/")[1:]:
        key, separator, value = part.partition("=")
        path.append((key, _plain(value)) if separator else _plain(key))
    return tuple(path)


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


def _plain(text: str) -> str:
    return text.replace("~2", "=").replace("~1", "/").replace("~0", "~")


def _note(edit: Edit) -> dict[str, Any]:
    if edit.removed:
        return {"path": edit.pointer, "removed": True}
    return {"path": edit.pointer, "value": copy.deepcopy(edit.value)}


def _without_notes(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != SECTION}


def _children(node: Any) -> dict[Part, Any] | None:
    """The named parts of an object, or of a list of named objects; None for a leaf."""
    if isinstance(node, Mapping):
        return dict(node)
    if isinstance(node, Sequence) and not isinstance(node, str) and node:
        for key in KEYS:
            names = [item.get(key) if isinstance(item, Mapping) else None for item in node]
            if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
                return {(key, str(name)): item for name, item in zip(names, node, strict=True)}
    return None


def _kind(node: Any) -> str:
    """What a node's parts are named by: keys, `name`, `value_or_threshold`; "" for a leaf."""
    children = _children(node)
    if children is None:
        return ""
    first = next(iter(children), "")
    return first[0] if isinstance(first, tuple) else "key"


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, since editors write either; true and 1 are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _differences(before: Any, after: Any, path: Path) -> list[Edit]:
    """The edits that make `after` of `before`, each as near to the leaves as it can be."""
    old, new = _children(before), _children(after)
    if old is None or new is None or _kind(before) != _kind(after):
        return [] if _same(before, after) else [Edit(path, copy.deepcopy(after))]
    found = []
    for part, value in old.items():
        if part in new:
            found += _differences(value, new[part], (*path, part))
        else:
            found.append(Edit((*path, part), removed=True))
    found += [
        Edit((*path, part), copy.deepcopy(value)) for part, value in new.items() if part not in old
    ]
    return found


def _still_kept(edited: Mapping[str, Any], before: Any, after: Any) -> list[Edit]:
    """Edits of earlier baselines that the data now suggest too, so that no difference shows."""
    found = []
    for path, note in _notes(edited):
        there, value = _look_up(after, path)
        was_there, was = _look_up(before, path)
        if there != was_there or (there and not _same(value, was)):
            continue  # a difference, so it is among the edits
        if note.get("removed") and not there:
            found.append(Edit(path, removed=True))
        elif there and "value" in note and _same(value, note["value"]):
            found.append(Edit(path, copy.deepcopy(value)))
    return found


def _notes(edited: Mapping[str, Any]) -> list[tuple[Path, Mapping[str, Any]]]:
    """What the file says of earlier edits; notes that a person broke say nothing."""
    section = edited.get(SECTION)
    notes = section.get("kept_edits") if isinstance(section, Mapping) else None
    found = []
    for note in notes if isinstance(notes, list) else []:
        text = note.get("path") if isinstance(note, Mapping) else None
        if isinstance(text, str) and text.startswith("/"):
            found.append((parse_pointer(text), note))
    return found


def _look_up(document: Any, path: Path) -> tuple[bool, Any]:
    node = document
    for part in path:
        children = _children(node)
        if children is None or part not in children:
            return False, None
        node = children[part]
    return True, node


def _has_lapsed(edit: Edit, before: Any, document: Any) -> bool:
    """Say whether something that held the edited place is gone from the suggestion."""
    for length in range(1, len(edit.path)):
        was_there, was = _look_up(before, edit.path[:length])
        there, now = _look_up(document, edit.path[:length])
        if was_there and not (there and _kind(now) == _kind(was)):
            return True
    return False


def _apply(document: dict[str, Any], edit: Edit) -> None:
    node: Any = document
    for part in edit.path[:-1]:
        node = (_children(node) or {}).get(part)
        if node is None:
            return  # what was to be taken out is not there
    if edit.removed:
        _take_out(node, edit.path[-1])
    else:
        _put(node, edit.path[-1], copy.deepcopy(edit.value))


def _put(node: Any, part: Part, value: Any) -> None:
    if isinstance(part, str):
        node[part] = value
        return
    places = [place for place, item in enumerate(node) if item.get(part[0]) == part[1]]
    if places:
        node[places[0]] = value
    else:
        node.append(value)


def _take_out(node: Any, part: Part) -> None:
    if isinstance(part, str):
        node.pop(part, None)
    else:
        node[:] = [item for item in node if item.get(part[0]) != part[1]]
