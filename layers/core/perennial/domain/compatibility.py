"""Whether a candidate takes every request that the champion takes.

Both sides are schema.json documents, as `jobs/casting.py` writes them: what the model was
trained on. A caller of the endpoint must notice nothing of a release, so whatever row the
champion accepts, the candidate must accept, and the answers must mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perennial.domain.schema import BadValue, Column, number_text
from perennial.domain.text import printable

MOST_LEVELS_TOLD = 5
LONGEST_LEVEL = 40
# Which types of column read every text that a column of this type reads.
WIDER = {
    "int": ("int", "float", "string"),
    "float": ("float", "string"),
    "string": ("string",),
    "category": ("category", "string"),
    "bool": ("bool", "string"),
    "date": ("date", "string"),
    "timestamp": ("timestamp", "string"),
}


def incompatibilities(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    """What the champion accepts or answers and the candidate does not, one sentence each.

    Empty when the candidate can take the champion's place unnoticed: a schema is compatible with
    itself, and one that only asks for less (an optional column more, a wider range, another
    level, a column less) with the old. A column that the champion does not know but the candidate
    requires, narrower ranges, closed levels that lack one, other missing texts, and another label
    are not. What `prepare` makes of the columns is the model's own affair. Raises KeyError for a
    document that is no schema.
    """
    old, new = _Schema(champion), _Schema(candidate)
    found = list(_answers(champion, candidate))
    for name, column in new.columns.items():
        if name in old.columns:
            found += [f"column {printable(name)} {words}" for words in _column(old, new, name)]
        elif column.required:
            found.append(f"column {printable(name)} is required and unknown to the champion")
    lost = sorted(old.missing - new.missing)
    if lost and any(not column.required for column in old.columns.values()):
        means = "means" if len(lost) == 1 else "mean"
        found.append(f"{_told(lost)} no longer {means} a missing value")
    return found


class _Schema:
    """The features of a schema.json document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.missing = frozenset(document["missing"]) | {""}
        self.columns = {
            entry["name"]: Column(
                name=entry["name"],
                type=entry["type"],
                required=entry.get("required", True),
                minimum=entry.get("min"),
                maximum=entry.get("max"),
                levels=tuple(entry.get("levels", ())),
                open=entry.get("open", False),
                aliases=tuple(entry.get("aliases", {}).items()),
            )
            for entry in document["columns"]
            if entry["name"] != document["label"]
        }

    def takes(self, name: str, text: str) -> bool:
        """Say whether a request may have this text in a column."""
        try:
            self.columns[name].accept(text, self.missing)
        except BadValue:
            return False
        return True


def _answers(champion: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[str]:
    """Differences in what an answer means."""
    for key in ("problem", "label"):
        if champion[key] != candidate[key]:
            yield f"the {key} is {_quoted(candidate[key])}, the champion's {_quoted(champion[key])}"
    if champion["problem"] == "regression" or champion["problem"] != candidate["problem"]:
        return
    if champion.get("positive", "") != candidate.get("positive", ""):
        yield (
            f"the positive class is {_quoted(candidate.get('positive', ''))}, "
            f"the champion's {_quoted(champion.get('positive', ''))}"
        )
    lost = _lacking(champion.get("classes", ()), candidate.get("classes", ()))
    if lost:
        yield f"the answers lack the class {_told(lost)}"


def _column(old: _Schema, new: _Schema, name: str) -> Iterator[str]:
    """What a column no longer takes."""
    was, now = old.columns[name], new.columns[name]
    if now.type not in WIDER[was.type]:
        yield f"has type {now.type}, the champion's {was.type}"
        return
    if now.required and not was.required:
        yield "is required; the champion takes rows without it"
    if now.numeric:
        yield from _range(was, now)
    if now.type == "category" and was.open and not now.open:
        yield "takes its levels only; the champion takes others as well"
    # Levels under each of their spellings, and texts that now mean a missing value.
    texts = [*was.levels, *(text for text, _ in was.aliases), *sorted(new.missing - old.missing)]
    distinct = dict.fromkeys(texts)
    lost = [text for text in distinct if old.takes(name, text) and not new.takes(name, text)]
    if lost:
        yield f"no longer takes {_told(lost)}"


def _range(was: Column, now: Column) -> Iterator[str]:
    low, high = now.minimum, now.maximum
    if low is not None and (was.minimum is None or was.minimum < low):
        yield f"must be at least {number_text(low)}, the champion's {_bound(was.minimum)}"
    if high is not None and (was.maximum is None or was.maximum > high):
        yield f"must be at most {number_text(high)}, the champion's {_bound(was.maximum)}"


def _bound(bound: float | None) -> str:
    return "anything" if bound is None else number_text(bound)


def _lacking(old: Sequence[str], new: Sequence[str]) -> list[str]:
    known = set(new)
    return [text for text in old if text not in known]


def _told(texts: Sequence[str]) -> str:
    few = ", ".join(_quoted(text) for text in texts[:MOST_LEVELS_TOLD])
    more = len(texts) - MOST_LEVELS_TOLD
    return f"{few} and {more:,} more" if more > 0 else few


def _quoted(text: Any) -> str:
    plain = printable(str(text))
    return f'"{plain}"' if len(plain) <= LONGEST_LEVEL else f'"{plain[: LONGEST_LEVEL - 1]}…"'
