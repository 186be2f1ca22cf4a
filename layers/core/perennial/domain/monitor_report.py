"""A window's report as its job wrote it: checked, and cut down to what ledger and metrics keep."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.domain.ledger.monitors import Found
from perennial.domain.text import printable

VERSION = 1
LONGEST_WORDS = 300
#: How many figures and violations a row keeps; the report has them all.
MOST_FIGURES = 40
#: Figures of drift come before plain ones (means, counts), which a row need not keep.
DRIFT = "drift"
MOST_VIOLATIONS = 10


class ReportInvalid(ValueError):
    """A report that is none; the message says why."""


@dataclass(frozen=True)
class Figure:
    """One named figure of a window, with the dimensions that it is published under."""

    name: str
    value: float
    dimensions: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """What a window's job found. `worst`: how far the worst figure is, None without any."""

    found: Found
    worst: float | None
    figures: tuple[Figure, ...]


def read_report(document: Any, *, per_feature: bool) -> Report:
    """Check a report.json; raises `ReportInvalid` for what is none."""
    if not isinstance(document, Mapping) or document.get("version") != VERSION:
        raise ReportInvalid(f"the report is no report of version {VERSION}")
    violations = _list(document, "violations")
    worst = document.get("worst")
    figures = tuple(
        Figure(str(each["name"]), float(each["value"]), dict(each.get("dimensions") or {}))
        for each in _list(document, "metrics")
        if _is_figure(each)
    )
    rows = 0 if document.get("empty") else _count(document, "rows")
    words = _words(worst) if isinstance(worst, Mapping) else ""
    if not rows:
        words = _first_note(document) or "no row in the window could be looked at"
    found = Found(
        "done" if rows else "empty",
        rows=rows,
        labelled=_count(document, "labelled_rows"),
        violations=len(violations),
        words=words,
        figures=_kept(worst, violations, figures),
    )
    value: Any = worst.get("value") if isinstance(worst, Mapping) else None
    far = float(value) if _is_number(value) else None
    return Report(found, far, figures if per_feature else ())


def _kept(worst: Any, violations: list[Any], figures: tuple[Figure, ...]) -> str:
    """What a row keeps, as JSON text: enough for tables and for pictures over time."""
    kept = {
        "worst": {name: worst.get(name) for name in ("name", "value", "bound")}
        if isinstance(worst, Mapping)
        else None,
        "violations": [_words(each) for each in violations[:MOST_VIOLATIONS]],
        "figures": {
            _full_name(each): round(each.value, 6)
            for each in sorted(figures, key=lambda each: DRIFT not in each.name)[:MOST_FIGURES]
            if math.isfinite(each.value)
        },
    }
    return json.dumps(kept, ensure_ascii=False, sort_keys=True)


def _full_name(figure: Figure) -> str:
    own = ", ".join(f"{name}={value}" for name, value in sorted(figure.dimensions.items()))
    return f"{figure.name}[{own}]" if own else figure.name


def _words(finding: Any) -> str:
    text = finding.get("words") if isinstance(finding, Mapping) else None
    return printable(str(text or ""))[:LONGEST_WORDS]


def _first_note(document: Mapping[str, Any]) -> str:
    notes = document.get("notes")
    return printable(str(notes[0]))[:LONGEST_WORDS] if isinstance(notes, list) and notes else ""


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    found = document.get(key)
    if not isinstance(found, list):
        raise ReportInvalid(f"the report's {key} is no list")
    return found


def _count(document: Mapping[str, Any], key: str) -> int:
    found = document.get(key, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ReportInvalid(f"the report's {key} is no count")
    return found


def _is_figure(each: Any) -> bool:
    return isinstance(each, Mapping) and "name" in each and _is_number(each.get("value"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
