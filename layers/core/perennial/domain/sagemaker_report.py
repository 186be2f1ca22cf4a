"""The report of a window that SageMaker Model Monitor judged, from the files that it leaves.

The report has the form of our own jobs' (docs/monitors.md), so that everything after it is one
path. Model Monitor tells violations only; how far each feature is from its baseline is worked out
anew from both statistics, by Deequ's distances, for the worst figure and for pictures.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from perennial.domain.monitor_report import VERSION, ReportInvalid

DRIFT = "baseline_drift_check"
#: `Baseline drift distance: 0.31 exceeds threshold: 0.1`
DISTANCE = re.compile(r"distance: ?(-?[0-9.eE+-]+) exceeds threshold: ?(-?[0-9.eE+-]+)")
#: `Value: 0.009 does not meet …`, `Observed: Only 99.6% of data …`
VALUE = re.compile(r"Value: ?(-?[0-9.eE+-]+)")
PERCENT = re.compile(r"Only ([0-9.eE+-]+)% of data")
#: c(alpha) of the two-sample Kolmogorov-Smirnov test at alpha 0.003, as Deequ has it.
ROBUST_FACTOR = 1.8
BUCKETS = 10
SHOWN_TEXTS = 10
MOST_WORDS = 300  # characters of what a violation says


@dataclass(frozen=True)
class Files:
    """What a window's execution read and wrote."""

    statistics: Any
    violations: Any
    constraints: Any
    baseline: Any


def data_quality_report(head: Mapping[str, Any], files: Files) -> dict[str, Any]:
    """The content of report.json; `head` has kind, model, model_version and window.

    Raises `ReportInvalid` for files that are none.
    """
    rows = _rows(files.statistics)
    bounds = _Bounds.read(files.constraints)
    now, then = _features(files.statistics), _features(files.baseline)
    pictures = {
        name: found
        for name, entry in now.items()
        if name in then and (found := _compared(entry, then[name], bounds)) is not None
    }
    drifts = {name: each for name, each in pictures.items() if "distance" in each}
    violations = [_violation(each, bounds) for each in _listed(files.violations)]
    violations.sort(key=lambda each: (-_severity(each), each["name"], each["check"]))
    broken = {each["name"] for each in violations if each["check"] == DRIFT}
    nearest = max(drifts.items(), key=lambda each: each[1]["distance"], default=None)
    worst = violations[0] if violations else None
    if worst is None and nearest is not None:
        worst = _calm(*nearest)
    return {
        "version": VERSION,
        **head,
        "rows": rows,
        "labelled_rows": 0,
        "late": 0,
        "unmatched_labels": 0,
        "broken_lines": 0,
        "worst": worst,
        "violations": violations,
        "metrics": [
            {"name": f"feature_baseline_drift_{name}", "value": each["distance"], "dimensions": {}}
            for name, each in sorted(drifts.items())
        ],
        "figures": {name: {**each, "fires": name in broken} for name, each in pictures.items()},
        "counts": {},
        "empty": not rows,
        "notes": [] if rows else ["no row in the window could be looked at"],
    }


def model_quality_report(head: Mapping[str, Any], files: Files) -> dict[str, Any]:
    """The content of report.json of labelled answers; raises `ReportInvalid` for no files of it."""
    rows = _rows(files.statistics)
    figures = _figures(files.statistics)
    bounds = _quality_bounds(files.constraints)
    violations = [_broken(each, figures, bounds) for each in _listed(files.violations)]
    violations.sort(key=lambda each: (-_shortfall(each), each["name"]))
    judged = [_judged(name, figures[name], *bounds[name]) for name in bounds if name in figures]
    nearest = max(judged, key=_shortfall, default=None)
    if nearest is not None:
        nearest = {**nearest, "words": f"nearest its bound: {nearest['words']}"}
    return {
        "version": VERSION,
        **head,
        "rows": rows,
        "labelled_rows": rows,
        "late": 0,
        "unmatched_labels": 0,
        "broken_lines": 0,
        "worst": violations[0] if violations else nearest,
        "violations": violations,
        "metrics": [
            {"name": name, "value": value, "dimensions": {}} for name, value in figures.items()
        ],
        "figures": {},
        "counts": {},
        "empty": not rows,
        "notes": [] if rows else ["no request of the window has a label yet"],
    }


def _figures(statistics: Any) -> dict[str, float]:
    """The plain figures of whatever problem it is; one that has no value is left out."""
    sections = [
        each
        for name, each in statistics.items()
        if str(name).endswith("_metrics") and isinstance(each, Mapping)
    ]
    if not sections:
        raise ReportInvalid("statistics.json has no section of metrics")
    found = {}
    for name, entry in sections[0].items():
        value = entry.get("value") if isinstance(entry, Mapping) else None
        if isinstance(value, int | float) and math.isfinite(value):
            found[str(name)] = float(value)
    return found


def _quality_bounds(constraints: Any) -> dict[str, tuple[float, str]]:
    """Bound and operator of each figure."""
    return {
        str(name): (float(entry["threshold"]), str(entry["comparison_operator"]))
        for section, entries in constraints.items()
        if str(section).endswith("_constraints")
        for name, entry in entries.items()
    }


def _judged(name: str, value: float, bound: float, operator: str) -> dict[str, Any]:
    words = f"{name} is {value:.4g} (bound {bound:.4g})"
    return {"name": name, "check": operator, "value": value, "bound": bound, "words": words}


def _broken(
    given: Mapping[str, Any], figures: Mapping[str, float], bounds: Mapping[str, tuple[float, str]]
) -> dict[str, Any]:
    """A violation with its figure: what was measured is in the statistics, its bound in the
    constraints."""
    name = str(given.get("metric_name") or "?")
    if name in figures and name in bounds:
        return _judged(name, figures[name], *bounds[name])
    check, words = str(given.get("constraint_check_type") or "?"), str(given.get("description", ""))
    return {
        "name": name,
        "check": check,
        "value": figures.get(name, 0.0),
        "bound": bounds.get(name, (0.0, ""))[0],
        "words": f"{name}: {words}"[:MOST_WORDS],
    }


def _shortfall(finding: Mapping[str, Any]) -> float:
    """How much worse than its bound a figure is, as a share of the bound; below 0: it is better."""
    value, bound = float(finding["value"]), float(finding["bound"])
    worse = bound - value if finding["check"] == "LessThanThreshold" else value - bound
    return worse / abs(bound) if bound else worse


@dataclass(frozen=True)
class _Bounds:
    """What constraints.json says for all features, and the completeness of each."""

    distance: float
    text_distance: float
    is_robust: bool
    is_chi_squared: bool
    completeness: Mapping[str, float]

    @classmethod
    def read(cls, document: Any) -> _Bounds:
        config = document.get("monitoring_config") if isinstance(document, Mapping) else None
        comparison = (config or {}).get("distribution_constraints") or {}
        distance = float(comparison.get("comparison_threshold", 0.1))
        features = document.get("features") if isinstance(document, Mapping) else None
        return cls(
            distance=distance,
            text_distance=float(comparison.get("categorical_comparison_threshold", distance)),
            is_chi_squared=comparison.get("categorical_drift_method") == "ChiSquared",
            is_robust=str(comparison.get("comparison_method", "Robust")).lower() != "simple",
            completeness={
                str(each["name"]): float(each["completeness"])
                for each in features or ()
                if isinstance(each, Mapping) and "name" in each and "completeness" in each
            },
        )


def _rows(statistics: Any) -> int:
    try:
        return int(statistics["dataset"]["item_count"])
    except (KeyError, TypeError, ValueError):
        raise ReportInvalid("statistics.json has no dataset.item_count") from None


def _features(document: Any) -> dict[str, Mapping[str, Any]]:
    features = document.get("features") if isinstance(document, Mapping) else None
    if not isinstance(features, list):
        raise ReportInvalid("statistics.json has no list of features")
    return {
        str(each["name"]): each for each in features if isinstance(each, Mapping) and "name" in each
    }


def _listed(document: Any) -> Iterator[Mapping[str, Any]]:
    if document is None:  # the container writes none where nothing is violated
        return
    found = document.get("violations") if isinstance(document, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise ReportInvalid("constraint_violations.json has no list of violations")
    yield from found


def _violation(given: Mapping[str, Any], bounds: _Bounds) -> dict[str, Any]:
    """One violation in the report's form: figure and bound as far as its words tell them."""
    name = str(given.get("feature_name") or given.get("metric_name") or "?")
    check = str(given.get("constraint_check_type") or "?")
    description = str(given.get("description") or "")
    far, percent = DISTANCE.search(description), PERCENT.search(description)
    value, bound = 0.0, 1.0  # nothing of what was asked for: a column that is missing, say
    if far is not None:
        value, bound = float(far[1]), float(far[2])
    elif percent is not None:
        value = float(percent[1]) / 100
    elif (found := VALUE.search(description)) is not None:
        value = float(found[1])
        bound = bounds.completeness.get(name, 1.0) if check == "completeness_check" else 1.0
    words = (
        f"`{name}` drifted {value:.2f} from its baseline (bound {bound:.2f})"
        if check == DRIFT and far is not None
        else f"`{name}`: {description or check}"
    )
    return {
        "name": name,
        "check": check,
        "value": value,
        "bound": bound,
        "words": words[:MOST_WORDS],
    }


def _severity(violation: Mapping[str, Any]) -> float:
    """Above 1; how far a violation is beyond its bound, on the scale of our own jobs."""
    value, bound = violation["value"], violation["bound"]
    if violation["check"] == DRIFT:
        return float(value / bound) if bound else 1.0 + float(value)
    return 1.0 + abs(float(value) - float(bound))


def _calm(name: str, drift: Mapping[str, Any]) -> dict[str, Any]:
    far, bound = drift["distance"], drift["bound"]
    words = f"nearest its bound: `{name}` drifted {far:.2f} from its baseline (bound {bound:.2f})"
    return {"name": name, "check": DRIFT, "value": far, "bound": bound, "words": words}


def _compared(
    now: Mapping[str, Any], then: Mapping[str, Any], bounds: _Bounds
) -> dict[str, Any] | None:
    """A feature beside its baseline: shares, and distance and bound where they are what Model
    Monitor compares; None where there is no value."""
    numbers = [_numbers(each) for each in (now, then)]
    if numbers[0] and numbers[1]:
        far, count = _numeric_distance(*numbers), [sum(w for _, w in each) for each in numbers]
        shares, bound = _bucket_shares(*numbers), bounds.distance
    else:
        texts = [_texts(each) for each in (now, then)]
        if not texts[0] or not texts[1]:
            return None
        far, count = _text_distance(*texts), [sum(each.values()) for each in texts]
        shares, bound = _text_shares(*texts), bounds.text_distance
        if bounds.is_chi_squared:
            return shares
    if bounds.is_robust:
        far = max(0.0, far - ROBUST_FACTOR * math.sqrt(sum(count) / math.prod(count)))
    return {"distance": far, "bound": bound, **shares}


def _numbers(entry: Mapping[str, Any]) -> list[tuple[float, float]]:
    """A numeric feature's values, sorted, each with its weight: level h of a sketch has 2^h."""
    try:
        levels = entry["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"]
    except (KeyError, TypeError):
        return []
    return sorted((float(v), float(2**h)) for h, level in enumerate(levels) for v in level)


def _texts(entry: Mapping[str, Any]) -> dict[str, float]:
    try:
        buckets = entry["string_statistics"]["distribution"]["categorical"]["buckets"]
        return {str(each["value"]): float(each["count"]) for each in buckets}
    except (KeyError, TypeError):
        return {}


def _ranks(values: Sequence[tuple[float, float]], points: Sequence[float]) -> list[float]:
    """The share of values up to each point."""
    heights = list(accumulate(weight for _, weight in values))
    places = [value for value, _ in values]
    found = [bisect_right(places, point) for point in points]
    return [heights[place - 1] / heights[-1] if place else 0.0 for place in found]


def _numeric_distance(
    now: Sequence[tuple[float, float]], then: Sequence[tuple[float, float]]
) -> float:
    points = sorted({value for side in (now, then) for value, _ in side})
    sides = zip(_ranks(now, points), _ranks(then, points), strict=True)
    return max(abs(one - other) for one, other in sides)


def _text_distance(now: Mapping[str, float], then: Mapping[str, float]) -> float:
    whole = sum(now.values()), sum(then.values())
    return max(abs(now.get(t, 0) / whole[0] - then.get(t, 0) / whole[1]) for t in {*now, *then})


def _bucket_shares(
    now: Sequence[tuple[float, float]], then: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """The shares of ten buckets of equal width over both ranges."""
    low, high = min(now[0][0], then[0][0]), max(now[-1][0], then[-1][0])
    bounds = [low + (high - low) * n / BUCKETS for n in range(BUCKETS + 1)]
    inner = bounds[1:-1]
    shares = []
    for side in (now, then):
        steps = [0.0, *_ranks(side, inner), 1.0]
        shares.append([b - a for a, b in pairwise(steps)])
    return {"bounds": bounds, "now": shares[0], "baseline": shares[1]}


def _text_shares(now: Mapping[str, float], then: Mapping[str, float]) -> dict[str, Any]:
    whole = sum(now.values()), sum(then.values())

    def largest(text: str) -> float:
        return max(now.get(text, 0) / whole[0], then.get(text, 0) / whole[1])

    names = sorted({*now, *then}, key=lambda text: (-largest(text), text))[:SHOWN_TEXTS]
    return {
        "texts": names,
        "now": [now.get(name, 0) / whole[0] for name in names],
        "baseline": [then.get(name, 0) / whole[1] for name in names],
    }
