"""What a run's documents say, brought to the short form in which a verdict keeps it.

Each function reads one document that a job wrote. A verdict holds no row and stays below about
200 KB: names are shortened, lists and curves are cut at stated lengths, and what was cut is told
in a note. Numbers stay exactly what they were; one that is none (`"NaN"`, infinite) is None.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perennial.domain import clarify
from perennial.domain.settings import Facet
from perennial.domain.text import printable

DIGEST = re.compile("[0-9a-f]{64}")
LONGEST_NAME = 80
LONGEST_WORDS = 300
MOST_GROUP_FIGURES = 300
MOST_BIAS_FIGURES = 300
MOST_FEATURES = 50
MOST_PRODUCERS = 50
MOST_POINTS = 101
MOST_CLASSES = 20
MOST_WINDOWS = 5
MOST_NOTES = 20
MOST_COMPARED = 40
NEEDED_OF_COMPARISON = (
    *("metric", "rows", "candidate", "champion", "difference", "lower", "better_share"),
    *("confidence", "margin", "significance", "draws"),
)
ROWS = ("training", "holdout", "good", "bad", "replaced", "outside")
NO_PRODUCER = "(none)"
OTHERS = "(others)"
INFINITE = "Infinity"
CURVES = {
    "roc": (
        "receiver_operating_characteristic_curve",
        "false_positive_rates",
        "true_positive_rates",
    ),
    "precision_recall": ("precision_recall_curve", "recalls", "precisions"),
}

Number = int | float
Figures = dict[str, Number | None]


def number(value: Any) -> Number | None:
    """The value if it is a finite number, else None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def short(text: Any) -> str:
    """A name in one line of at most 80 characters; a cut one ends in a mark of the whole."""
    whole = str(text)
    plain = printable(whole)
    if len(plain) <= LONGEST_NAME:
        return plain
    mark = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: LONGEST_NAME - 10]}…{mark}"


def sentence(text: Any) -> str:
    """Words of somebody else in one line of at most 300 characters."""
    plain = printable(str(text))
    return plain if len(plain) <= LONGEST_WORDS else plain[: LONGEST_WORDS - 1] + "…"


def numbers(given: Any, keys: Iterable[str]) -> dict[str, Number | None]:
    """The numbers of a document under some keys, None for those that are none."""
    found = given if isinstance(given, Mapping) else {}
    return {key: number(found.get(key)) for key in keys}


def pair(given: Any) -> list[Number] | None:
    """The two ends of an interval, or None."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        return None
    ends = [end for each in given if (end := number(each)) is not None]
    return ends if len(ends) == 2 else None


def ordered(
    figures: Mapping[str, Any], names: Sequence[str], facets: Sequence[Facet]
) -> dict[str, Any]:
    """Figures as people look for them: overall ones first, then facet by facet, group by group.

    Stored JSON has its keys sorted. `names` are the figures' names in the order that is wanted;
    groups of a numeric facet go by size.
    """
    places = {name: place for place, name in enumerate(names)}
    columns = {facet.column: place for place, facet in enumerate(facets)}
    groups = {
        f"{facet.column}={group}": place
        for facet in facets
        for place, group in enumerate(facet.groups())
    }

    def place(name: str) -> tuple[Any, ...]:
        metric, _, group = name.partition(":")
        column = columns.get(group.partition("=")[0], len(columns)) if group else -1
        at = groups.get(group, len(groups))
        return (column, at, group, places.get(metric, len(places)), metric)

    return {name: figures[name] for name in sorted(figures, key=place)}


def thinned(points: Sequence[Any]) -> list[Any]:
    """At most 101 of some points, evenly chosen, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    last = len(points) - 1
    picks = sorted({round(i * last / (MOST_POINTS - 1)) for i in range(MOST_POINTS)})
    return [points[i] for i in picks]


@dataclass(frozen=True)
class Evaluated:
    """An evaluation: every figure for the gates, and what the verdict shows of the rest."""

    metrics: Mapping[str, float | None]
    rows: int
    sections: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    shown: Mapping[str, float | None] = field(default_factory=dict)
    #: What the server compares: the digests of the model's and of the code's unpacked files.
    files: Mapping[str, str] = field(default_factory=dict)


def read_evaluation(document: Any) -> Evaluated:
    """Read evaluation.json.

    Raises KeyError, TypeError, ValueError or AttributeError when it is no evaluation.
    """
    ours = document["perennial"]
    metrics = {
        str(name): None if value is None else float(value)
        for name, value in ours["metrics"].items()
    }
    overall = {short(name): value for name, value in metrics.items() if ":" not in name}
    groups = {short(name): value for name, value in metrics.items() if ":" in name}
    shown = {**overall, **dict(list(groups.items())[:MOST_GROUP_FIGURES])}
    hidden = len(overall) + len(groups) - len(shown)
    notes = (f"{hidden:,} more figures of groups are in the evaluation",) if hidden else ()
    headline = _headline(document)
    sections = {
        "deviations": _deviations(headline, overall),
        "latency": _latency(ours.get("latency_ms")),
        "size_mb": number(ours["metrics"].get("model_mb")),
        "learning": _learning(ours.get("learning")),
        "gap": _gap(ours.get("gap")),
        "calibration": _calibration(ours.get("calibration")),
        "residuals": _residuals(ours.get("residuals")),
        "curves": _curves(headline),
        "confusion": _confusion(headline.get("confusion_matrix")),
    }
    shown_finite = {name: None if value is None else number(value) for name, value in shown.items()}
    files = {
        f"{what}_digest": str(ours[what])
        for what in ("model_files", "code_files")
        if DIGEST.fullmatch(str(ours.get(what)))
    }
    return Evaluated(metrics, int(ours["rows"]), sections, notes, shown_finite, files)


def _headline(document: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, section in document.items():
        if name.endswith("_metrics") and isinstance(section, Mapping):
            return section
    return {}


def _deviations(headline: Mapping[str, Any], overall: Iterable[str]) -> Figures:
    found: Figures = {}
    for name in overall:
        entry = headline.get(name)
        spread = number(entry.get("standard_deviation")) if isinstance(entry, Mapping) else None
        if spread is not None:
            found[name] = spread
    return found


def _latency(given: Any) -> Figures | None:
    return numbers(given, ("p50", "p99", "rows")) if isinstance(given, Mapping) else None


def _learning(given: Any) -> dict[str, Any] | None:
    """Rounds and each figure's course over them: `{"rounds": [..], "train_auc": [..]}`."""
    rounds = given.get("rounds") if isinstance(given, Mapping) else None
    if not isinstance(rounds, Sequence) or not rounds:
        return None
    points = thinned([each for each in rounds if isinstance(each, Mapping)])
    names = list(dict.fromkeys(key for each in points for key in each if key != "round"))[:8]
    courses = {short(name): [number(each.get(name)) for each in points] for name in names}
    courses = {
        name: course for name, course in courses.items() if any(v is not None for v in course)
    }
    if not courses:
        return None
    return {"rounds": [number(each.get("round")) for each in points], "figures": courses}


def _gap(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, Mapping) or "metric" not in given:
        return None
    return {"metric": short(given["metric"]), **numbers(given, ("train", "validation"))}


def _calibration(given: Any) -> list[Figures] | None:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        return None
    keys = ("from", "to", "rows", "mean_score", "share")
    return [numbers(each, keys) for each in thinned(given)]


def _residuals(given: Any) -> dict[str, Any] | None:
    """A histogram as `{"bins": [{from, to, rows}], ...}` with the scalars that came with it.

    It may come as edges and counts, or as bins.
    """
    if not isinstance(given, Mapping):
        return None
    edges, counts = given.get("edges"), given.get("counts")
    if isinstance(edges, Sequence) and isinstance(counts, Sequence):
        bins = [
            {"from": low, "to": high, "rows": count}
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        ]
    else:
        bins = list(given.get("bins") or given.get("histogram") or [])
    shown = [numbers(each, ("from", "to", "rows")) for each in bins[:MOST_POINTS]]
    scalars = {
        short(name): value for name, each in given.items() if (value := number(each)) is not None
    }
    return {**scalars, "bins": shown}


def _curves(headline: Mapping[str, Any]) -> dict[str, dict[str, list[Number | None]]] | None:
    found = {}
    for name, (section, across, up) in CURVES.items():
        curve = headline.get(section)
        if isinstance(curve, Mapping) and curve.get(across):
            points = thinned(list(zip(curve[across], curve[up], strict=True)))
            found[name] = {
                across: [number(point[0]) for point in points],
                up: [number(point[1]) for point in points],
            }
    return found or None


def _confusion(given: Any) -> dict[str, Any] | None:
    """The matrix as lists, so that a class is a name and never a key: rows are actual classes."""
    if not isinstance(given, Mapping) or not 0 < len(given) <= MOST_CLASSES:
        return None
    classes = [str(name) for name in given]
    rows = [[number(dict(given[name]).get(other)) for other in given] for name in given]
    return {"classes": [short(name) for name in classes], "rows": rows}


@dataclass(frozen=True)
class Bias:
    """Bias figures for the gates (`DPPL:sex=Female`), and what the verdict shows of them."""

    metrics: Mapping[str, float | None]
    shown: Mapping[str, Any]
    intervals: Mapping[str, list[Number]]
    notes: tuple[str, ...] = ()
    remark: str = ""


def read_bias(document: Mapping[str, Any]) -> Bias:
    """Read bias/analysis.json, by its flat figures `perennial.metrics`, or Clarify's own.

    An infinite figure is `"Infinity"` there and in the verdict; no bound holds it. `remark` is
    what a reader of any one figure must know. Raises ValueError when there are no figures at all.
    """
    is_ours = isinstance(document.get("perennial"), Mapping)
    ours = document["perennial"] if is_ours else _of_clarify(document)
    metrics: dict[str, float | None] = {}
    shown: dict[str, Any] = {}
    for name, value in dict(ours.get("metrics") or {}).items():
        infinite = value in (INFINITE, f"-{INFINITE}")
        metrics[str(name)] = float(value) if infinite else number(value)
        if len(shown) < MOST_BIAS_FIGURES:
            shown[short(name)] = value if infinite else number(value)
    intervals = {}
    for metric, facets in dict(ours.get("intervals") or {}).items():
        for facet, ends in dict(facets).items():
            name = short(f"{metric}:{facet}")
            found = pair(ends)
            if found is not None and name in shown:
                intervals[name] = found
    notes = _notes(ours)
    hidden = len(metrics) - len(shown)
    if hidden > 0:
        notes.append(f"{hidden:,} more bias figures are in the analysis")
    return Bias(metrics, shown, intervals, tuple(notes), "" if is_ours else clarify.REMARK)


def _of_clarify(document: Mapping[str, Any]) -> dict[str, Any]:
    """Clarify's analysis in the form of ours: it knows no intervals."""
    return {"metrics": clarify.read_metrics(document), "notes": [clarify.NOTE]}


def _notes(ours: Mapping[str, Any]) -> list[str]:
    return [sentence(note) for note in list(ours.get("notes") or ())[:MOST_NOTES]]


def read_explanations(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """The largest global attributions of explanations/analysis.json, largest first.

    With several labels a feature's figure is the mean over the labels.
    """
    labels = document.get("explanations", {}).get("kernel_shap", {})
    sums: dict[str, list[Number]] = {}
    for label in labels.values():
        for feature, value in label.get("global_shap_values", {}).items():
            found = number(value)
            if found is not None:
                sums.setdefault(feature, []).append(found)
    if not sums:
        return None
    means = {
        feature: each[0] if len(each) == 1 else sum(each) / len(each)
        for feature, each in sums.items()
    }
    largest = sorted(means, key=lambda feature: (-abs(means[feature]), feature))[:MOST_FEATURES]
    ours = document.get("perennial") or {}
    return {
        "global": {short(feature): means[feature] for feature in largest},
        "features": len(means),
        "units": short(ours.get("units", "")),
        "method": short(ours.get("method", "")),
        **numbers(ours, ("rows", "max_additivity_error")),
        "notes": _notes(ours),
    }


def read_comparison(document: Mapping[str, Any]) -> dict[str, Any]:
    """comparison.json as a verdict keeps it: all but figures and windows beyond the stated number.

    Raises KeyError when it lacks what the gate `champion` rests on, TypeError for odd parts.
    """
    kept = {name: document[name] for name in NEEDED_OF_COMPARISON}
    kept |= {name: value for name, value in document.items() if number(value) is not None}
    kept["interval"] = pair(document.get("interval"))
    kept["method"] = sentence(document.get("method", ""))
    kept["labels"] = numbers(document.get("labels"), ("oldest_ms", "newest_ms"))
    kept["windows"] = [
        _compared(each, ("from_ms", "to_ms", "rows"))
        for each in list(document.get("windows") or ())[:MOST_WINDOWS]
    ]
    few = list((document.get("metrics") or {}).items())[:MOST_COMPARED]
    kept["metrics"] = {short(name): _compared(each) for name, each in few}
    for name in ("incompatible", "changes"):
        kept[name] = [sentence(each) for each in (document.get(name) or ())[:MOST_COMPARED]]
    return kept


def _compared(given: Mapping[str, Any], more: Sequence[str] = ()) -> dict[str, Any]:
    return {
        **numbers(given, (*more, "candidate", "champion", "difference")),
        "interval": pair(given.get("interval")),
    }


@dataclass(frozen=True)
class Report:
    """What a check's report says of the data."""

    data: Mapping[str, Any]
    producers: Mapping[str, float]
    leaks: tuple[str, ...]
    conflicts: int | None
    notes: tuple[str, ...] = ()


def read_report(document: Mapping[str, Any], model_prefix: str) -> Report:
    """Read check/report.json; `model_prefix` is where the model's objects land.

    A producer is the folders between that prefix and the file's name; its share is of the good
    rows. Where the report does not count producers itself, its objects do.
    """
    rows = numbers(document.get("rows"), ROWS)
    objects = numbers(_totals(document), ("read", "good"))
    counts = document.get("producers")
    if not isinstance(counts, Mapping) or not counts:
        counts = _producers(document.get("objects") or (), model_prefix)
    found = list(document.get("leaks") or ())
    leaks = [short(each["feature"] if isinstance(each, Mapping) else each) for each in found]
    words = [sentence(each["words"]) for each in found if isinstance(each, Mapping)]
    return Report(
        data={
            "rows": rows,
            "objects": objects,
            "sources": {short(name): number(n) for name, n in _few(document.get("sources"))},
            "labels": numbers(document.get("labels"), ("oldest_ms", "newest_ms")),
        },
        producers=_shares(counts),
        leaks=tuple(leaks[:MOST_FEATURES]),
        conflicts=_count(document.get("conflicts")),
        notes=tuple(words[:MOST_FEATURES]),
    )


def _few(given: Any) -> list[tuple[Any, Any]]:
    return list(given.items())[:MOST_PRODUCERS] if isinstance(given, Mapping) else []


def _totals(document: Mapping[str, Any]) -> dict[str, int]:
    listed = document.get("objects")
    if not isinstance(listed, Sequence):
        return dict(listed or {})
    good = sum(not each.get("quarantined") and not each.get("gone") for each in listed)
    return {"read": len(listed), "good": good}


def _count(given: Any) -> int | None:
    """How many conflicts there are, told as a number, as a list, or as an object with rows."""
    if isinstance(given, Mapping):
        given = given.get("rows", given.get("count"))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return len(given)
    found = number(given)
    return None if found is None else int(found)


def _producers(objects: Iterable[Mapping[str, Any]], model_prefix: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in objects:
        rows = number(each.get("rows")) or 0
        if each.get("quarantined") or each.get("gone") or not rows:
            continue
        name, _, _ = str(each.get("key", "")).removeprefix(model_prefix).rpartition("/")
        counts[name] = counts.get(name, 0) + int(rows)
    return counts


def _shares(counts: Mapping[str, Any]) -> dict[str, float]:
    """Each producer's share, largest first; those beyond the fiftieth are one entry."""
    rows = {str(name): float(found) for name, each in counts.items() if (found := number(each))}
    total = sum(rows.values())
    if total <= 0:
        return {}
    ordered = sorted(rows, key=lambda name: (-rows[name], name))
    shares = {short(name) or NO_PRODUCER: rows[name] / total for name in ordered[:MOST_PRODUCERS]}
    rest = sum(rows[name] for name in ordered[MOST_PRODUCERS:])
    return {**shares, OTHERS: rest / total} if rest else shares
