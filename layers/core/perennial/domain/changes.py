"""What is different about a candidate beside the champion, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.domain.findings import Number, numbers, sentence

MOST_TOLD = 60
LONGEST_VALUE = 80
FIRST = "train.hyperparameters."


def settings_changes(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    """The keys of two settings documents that differ, hyperparameters first."""
    old, new = dict(_leaves(champion)), dict(_leaves(candidate))
    paths = sorted({*old, *new}, key=lambda path: (not path.startswith(FIRST), path))
    return [
        f"{path.removeprefix('train.')}: {_shown(old, path)} → {_shown(new, path)}"
        for path in paths
        if _shown(old, path, cut=False) != _shown(new, path, cut=False)
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its path; entries of a list that have names, by name."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}" if path else str(key))
    elif _is_named(value):
        for each in value:
            rest = {key: inner for key, inner in each.items() if key != "name"}
            yield from _leaves(rest, f"{path}.{each['name']}")
    else:
        yield path, value


def _is_named(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str) and bool(value)
    return is_list and all(isinstance(each, Mapping) and "name" in each for each in value)


def _shown(values: Mapping[str, Any], path: str, *, cut: bool = True) -> str:
    if path not in values:
        return "not set"
    value = values[path]
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(str(each) for each in value) or "none"
    else:
        text = str(value) or '""'
    return text if not cut or len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


@dataclass(frozen=True)
class Before:
    """What the champion's own verdict says of its code and data."""

    code_digest: str
    data: Mapping[str, Mapping[str, Number | None]]
    producers: tuple[str, ...]


def read_before(document: Mapping[str, Any]) -> Before:
    """Read the champion's verdict.json, of any version; raises KeyError when it is none."""
    data = document.get("data") or {}
    return Before(
        str(document["candidate"]["code_digest"]),
        {
            "rows": numbers(data.get("rows"), ("training", "holdout")),
            "objects": numbers(data.get("objects"), ("good",)),
        },
        tuple(str(name) for name in document.get("producers") or ()),
    )


def code_changes(champion_sha: str, candidate_sha: str) -> list[str]:
    """Whether both were trained by the same code."""
    if not champion_sha or champion_sha == candidate_sha:
        return []
    return [f"code: {champion_sha[:12]} → {candidate_sha[:12]}"]


def data_changes(
    before: Before, data: Mapping[str, Any] | None, producers: Iterable[str]
) -> list[str]:
    """How the data differ from a verdict's `data` and `producers`; what is unknown is not told."""
    found = []
    for section, key, words in (
        ("rows", "training", "training rows"),
        ("rows", "holdout", "holdout rows"),
        ("objects", "good", "objects"),
    ):
        old, new = before.data[section][key], ((data or {}).get(section) or {}).get(key)
        if old is not None and new is not None and old != new:
            found.append(f"{words}: {old:,} → {new:,}")
    if before.producers:
        names = list(producers)
        found += [f"producer {name} is new" for name in names if name not in before.producers]
        found += [f"producer {name} is gone" for name in before.producers if name not in names]
    return found


def prepared_changes(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    """How the columns differ that `prepare` makes of the data, by two schema.json documents."""
    old = [str(entry["name"]) for entry in champion.get("prepared", ())]
    new = [str(entry["name"]) for entry in candidate.get("prepared", ())]
    return [
        *(f"prepare makes another column: {name}" for name in new if name not in old),
        *(f"prepare no longer makes the column {name}" for name in old if name not in new),
    ]


def told(changes: Sequence[str]) -> list[str]:
    """The changes as a verdict keeps them: each once, short, and at most sixty."""
    distinct = list(dict.fromkeys(sentence(each) for each in changes))
    more = len(distinct) - MOST_TOLD
    return [*distinct[:MOST_TOLD], f"and {more:,} more"] if more > 0 else distinct
