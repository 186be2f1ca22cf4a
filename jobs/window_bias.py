"""The bias monitor: how groups fare in a window, beside how they fared at the baseline."""

from __future__ import annotations

import math
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from perennial.domain.gates import facet_metric
from perennial.domain.schema import BadValue, Column, text_of
from perennial.domain.settings import Facet, Settings

from jobs.captures import Captures
from jobs.check_data import write_json
from jobs.constraint_rules import is_number, refused
from jobs.engine.bias import (
    CLOSED,
    CONDITIONAL,
    POST_TRAINING,
    PRE_TRAINING,
    Metric,
    credible_intervals,
    measure_value,
    number,
)
from jobs.engine.bias_drift import Side, distance_from_fair, has_drifted
from jobs.engine.checks import LEVEL, Finding
from jobs.failures import SettingsError
from jobs.measure_bias import Analysis, Positive
from jobs.measures import MISSING_GROUP
from jobs.model_quality import THRESHOLD
from jobs.monitor_config import MonitorConfig
from jobs.monitor_report import Report
from jobs.paths import Paths
from jobs.run_step import read_json
from jobs.truth import Row, Truth

CHECK = "bias_drift_check"
STAGES = ("pre_training_bias_metrics", "post_training_bias_metrics")
# What Clarify's monitors call the stages as a dimension.
STAGE_NAMES = dict(zip(STAGES, ("Pre-training", "Post-Training"), strict=True))
INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}
# A group of fewer rows is shown, and judged by nobody.
FEWEST_ROWS = 30

Place = tuple[str, str, str, str]  # stage, facet, value, metric


def monitor(paths: Paths, settings: Settings, config: MonitorConfig, hook: Any) -> Report:
    """Measure a window's bias and hold it against the baseline; answer the report.

    Raises `SettingsError` for a baseline that cannot be read, or bounds that are none.
    """
    del hook  # it is about requests; groups are told by what was sent
    if not settings.facets:
        raise SettingsError(
            f"{settings.project} has no facets, so there is no bias to monitor. Name some under "
            "facets in model.yaml, or take monitor.bias out."
        )
    baseline = read_json(config.baseline_file(paths, "analysis.json"))
    bounds = read_metrics(read_json(config.baseline_file(paths, "constraints.json")))
    then = read_sides(baseline)
    positive = positive_of(settings, baseline)
    report = Report(config)
    with tempfile.TemporaryDirectory(prefix="capture-") as folder:
        place = Path(folder) / "objects"
        place.mkdir()
        captures = Captures(config, [c.name for c in settings.features], place)
        truth = Truth(settings, config, Path(folder))
        counts = Counts.gather(settings, positive, truth.joined(captures, values=True))
        truth.tell(report, captures)
    report.notes += counts.notes
    report.is_empty = not counts.rows
    analysis = measure(settings, positive, counts)
    report.findings = judge(settings, analysis, bounds, then, counts, report)
    output = paths.output("monitor")
    write_json(output / "analysis.json", analysis.to_json())
    write_json(output / "constraint_violations.json", violations(report))
    return report


def positive_of(settings: Settings, baseline: Any) -> Positive:
    """The favourable outcome of the baseline; a threshold that it took from its data stays."""
    if settings.problem != "regression":
        levels = settings.data.column(settings.label).levels
        last = (settings.positive,) if settings.problem == "binary" else levels[-1:]
        return Positive(classes=tuple(settings.bias.positive or last))
    if settings.bias.threshold is not None:
        return Positive(threshold=settings.bias.threshold)
    try:
        words = str(baseline[STAGES[1]]["label_value_or_threshold"])
        return Positive(threshold=float(words.removeprefix("> ")))
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"analysis.json of the baseline names no threshold of {settings.label}: {error!r}"
        ) from None


@dataclass
class Counts:
    """Rows by facet value, conditional group, label and prediction."""

    rows: int
    tables: dict[str, Counter[tuple[str, str, int, int]]]
    notes: list[str]

    @classmethod
    def gather(cls, settings: Settings, positive: Positive, rows: Iterator[Row]) -> Counts:
        """Count some rows; what a column's type refuses counts as missing."""
        columns = {column.name: column for column in settings.data.columns}
        missing = frozenset(settings.data.missing)
        group = settings.bias.group
        tables: dict[str, Counter[tuple[str, str, int, int]]] = {
            facet.column: Counter() for facet in settings.facets
        }
        counted = unknown = 0
        for row in rows:
            outcome = _outcome(settings, positive, row)
            if outcome is None:
                unknown += 1
                continue
            counted += 1
            given = _value(columns[group], row.values, missing) if group else ""
            for facet in settings.facets:
                value = _value(columns[facet.column], row.values, missing, facet)
                tables[facet.column][(value, given, *outcome)] += 1
        words = f"{unknown:,} answers predict no known class or number, and do not count"
        return cls(counted, tables, [words] if unknown else [])


def _outcome(settings: Settings, positive: Positive, row: Row) -> tuple[int, int] | None:
    """Whether label and prediction are the favourable ones; None when the answer is neither."""
    answer = row.answer
    if positive.threshold is not None:
        try:
            return (
                int(float(row.label) > positive.threshold),
                int(float(answer.prediction) > positive.threshold),
            )
        except ValueError:
            return None
    label = int(row.label in positive.classes)
    if answer.prediction in settings.data.column(settings.label).levels:
        return label, int(answer.prediction in positive.classes)
    try:  # a server that answers the bare probability
        score = float(answer.prediction)
    except ValueError:
        return None
    if settings.problem != "binary":
        return None
    said_yes = score >= THRESHOLD
    return label, int(said_yes == (settings.positive in positive.classes))


def _value(
    column: Column, values: Mapping[str, str], missing: frozenset[str], facet: Facet | None = None
) -> str:
    """The name of a row's group in a column, as the evaluation's groups are called."""
    try:
        found = column.parse(values.get(column.name, ""), missing | {""})
    except BadValue:
        return MISSING_GROUP
    if found is None:
        return MISSING_GROUP
    if facet is not None and facet.edges and isinstance(found, int | float):
        return facet.groups()[bisect_right(facet.edges, found)]
    return text_of(found)


def measure(settings: Settings, positive: Positive, counts: Counts) -> Analysis:
    """Every metric of every value that has rows, in Clarify's layout."""
    analysis = Analysis(settings.label, positive, settings.bias.methods, notes=list(counts.notes))
    for (stage, facet, value), table, code in _cells(settings, counts):
        known = PRE_TRAINING if stage == STAGES[0] else POST_TRAINING
        names = [n for n in known if "all" in analysis.methods or n in analysis.methods]
        found = measure_value(table, code, names, conditional=bool(settings.bias.group))
        analysis.rows[stage] = counts.rows
        analysis.add(stage, facet, value, found)
    return analysis


def _cells(settings: Settings, counts: Counts) -> Iterator[tuple[tuple[str, str, str], Any, int]]:
    """Stage, facet and value, with the stage's table of the facet and the value's place in it."""
    for stage in STAGES:
        for facet in settings.facets:
            table, values = _table(counts.tables[facet.column], facet, settings)
            if stage == STAGES[0]:
                # Labels alone: the predictions are summed up, and count as 0.
                table = np.stack([table.sum(axis=-1), np.zeros(table.shape[:-1])], axis=-1)
            for code, value in enumerate(values):
                yield (stage, facet.column, value), table, code


@dataclass(frozen=True)
class Judged:
    """The intervals that a window's metrics are judged by: of the level itself where there is a
    closed form (`strict`), and credible ones of 95 % elsewhere."""

    strict: dict[Place, tuple[float, float]]
    credible: dict[Place, tuple[float, float]]

    @classmethod
    def of(cls, settings: Settings, counts: Counts, level: float) -> Judged:
        """The intervals of every metric that has one."""
        found = cls({}, {})
        has_group = bool(settings.bias.group)
        for place, table, code in _cells(settings, counts):
            labels_only = place[0] == STAGES[0]
            known = PRE_TRAINING if labels_only else POST_TRAINING
            closed = [name for name in known if name in CLOSED]
            for one in measure_value(
                table, code, closed, conditional=has_group, confidence=1 - level
            ):
                if one.interval is not None:
                    found.strict[(*place, one.name)] = one.interval
            others = [
                name
                for name in known
                if name not in closed and (has_group or name not in CONDITIONAL)
            ]
            drawn = credible_intervals(table, code, others, labels_only=labels_only)
            for name, interval in drawn.items():
                found.credible[(*place, name)] = interval
        return found

    def side(self, place: Place, metric: Metric) -> Side:
        """A metric as it is judged."""
        interval = self.credible.get(place, metric.interval)
        return Side(metric.value or 0.0, interval, self.strict.get(place))


def _table(
    counted: Mapping[tuple[str, str, int, int], int], facet: Facet, settings: Settings
) -> tuple[Any, list[str]]:
    """Counts by value, group, label and prediction, and the values' names: first those that the
    settings know."""
    known = facet.groups() or settings.data.column(facet.column).levels
    values = [*known, *sorted({key[0] for key in counted} - set(known))]
    groups = sorted({key[1] for key in counted}) or [""]
    table = np.zeros((len(values), len(groups), 2, 2), dtype=np.int64)
    for (value, group, label, predicted), count in counted.items():
        table[values.index(value), groups.index(group), label, predicted] = count
    return table, values


def judge(  # noqa: PLR0913, PLR0917  # all that a window is judged by
    settings: Settings,
    analysis: Analysis,
    bounds: Mapping[Place, float],
    then: Mapping[Place, Side],
    counts: Counts,
    report: Report,
) -> list[Finding]:
    """A finding for each metric that has a bound and a value; figures and metrics by the way."""
    places = list(_places(analysis))
    sizes = {
        (facet, value): sum(c for key, c in table.items() if key[0] == value)
        for facet, table in counts.tables.items()
        for value in {key[0] for key in table}
    }
    judged = [
        (place, metric)
        for place, metric in places
        if place in bounds and metric.value is not None and math.isfinite(metric.value)
    ]
    level = LEVEL / max(len(judged), 1)
    intervals = Judged.of(settings, counts, level)
    found = []
    for place, metric in judged:
        stage, facet, value, name = place
        base = then.get(place)
        edited = base is None or not math.isclose(base.value, bounds[place], rel_tol=1e-9)
        side = Side(bounds[place], None if edited or base is None else base.interval)
        size = sizes.get((facet, value), 0)
        large = min(size, counts.rows - size) >= FEWEST_ROWS
        fires = large and has_drifted(name, intervals.side(place, metric), side, level)
        found.append(_finding(place, metric, side, report, fires=fires))
        report.metric(
            f"bias_metric_{name}",
            metric.value,
            {
                "BiasStage": STAGE_NAMES[stage],
                "Label": analysis.label,
                "LabelValue": analysis.positive.words,
                "Facet": facet,
                "FacetValue": value,
            },
        )
    return found


def _finding(place: Place, metric: Metric, bound: Side, report: Report, *, fires: bool) -> Finding:
    stage, facet, value, name = place
    now = metric.value or 0.0
    far, allowed = distance_from_fair(name, now), distance_from_fair(name, bound.value)
    title = facet_metric(name, facet, value)
    report.figures[title] = {
        "stage": STAGE_NAMES[stage],
        "facet": facet,
        "value": value,
        "metric": name,
        "now": number(now),
        "interval": [number(each) for each in metric.interval or ()],
        "baseline": number(bound.value),
        "baseline_interval": [number(each) for each in bound.interval or ()],
        "fires": fires,
    }
    return Finding(
        title,
        CHECK,
        now,
        bound.value,
        # Not fired: it overlaps, however far the value is.
        1 + far - allowed if fires else min(far / allowed, 1.0) if allowed else 0.0,
        fires,
        f"{name} of {facet} {value} is {now:.3f} (baseline {bound.value:.3f})",
        f"Value {now:.10g} does not meet the constraint requirement",
        {"facet": facet, "facet_value": value, "metric": name},
    )


def _places(analysis: Analysis) -> Iterator[tuple[Place, Metric]]:
    for stage in STAGES:
        for facet, entries in analysis.sections.get(stage, {}).items():
            for entry in entries:
                value = entry["value_or_threshold"]
                for one in entry["metrics"]:
                    name = one["name"]
                    interval = analysis.intervals.get(name, {}).get(f"{facet}={value}")
                    yield (
                        (stage, facet, value, name),
                        Metric(name, _number(one["value"]), _interval(interval)),
                    )


def read_metrics(document: Any, file: str = "constraints.json") -> dict[Place, float]:
    """The value of every metric in an analysis; raises `SettingsError` naming what is none."""
    if not isinstance(document, Mapping):
        raise refused(file, document, "an object")
    found: dict[Place, float] = {}
    for stage in STAGES:
        section = document.get(stage, {})
        facets = section.get("facets", {}) if isinstance(section, Mapping) else None
        if not isinstance(facets, Mapping):
            raise refused(f"{file}: {stage}", section, "an object with facets")
        for facet, entries in facets.items():
            where = f"{file}: {stage}.facets.{facet}"
            if not isinstance(entries, list):
                raise refused(where, entries, "a list of values")
            for entry in entries:
                found |= _metrics_of((stage, str(facet)), entry, where)
    return found


def _metrics_of(place: tuple[str, str], entry: Any, where: str) -> dict[Place, float]:
    metrics = entry.get("metrics") if isinstance(entry, Mapping) else None
    if not isinstance(metrics, list) or "value_or_threshold" not in entry:
        raise refused(where, entry, "an object with value_or_threshold and metrics")
    value = str(entry["value_or_threshold"])
    found: dict[Place, float] = {}
    for one in metrics:
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
            raise refused(f"{where}[{value}].metrics", one, "an object with name and value")
        given = one.get("value")
        if given is None:
            continue
        kept = INFINITIES.get(given) if isinstance(given, str) else given
        if kept is None or not (is_number(kept) or kept in INFINITIES.values()):
            raise refused(f"{where}[{value}].{one['name']}", given, "a number")
        found[(*place, value, one["name"])] = float(kept)
    return found


def read_sides(analysis: Any) -> dict[Place, Side]:
    """The baseline's values with their intervals."""
    notes = analysis.get("perennial") if isinstance(analysis, Mapping) else None
    intervals = notes.get("intervals", {}) if isinstance(notes, Mapping) else {}
    return {
        place: Side(value, _interval(intervals.get(place[3], {}).get(f"{place[1]}={place[2]}")))
        for place, value in read_metrics(analysis, "analysis.json of the baseline").items()
    }


def _number(value: Any) -> float | None:
    return INFINITIES.get(value) if isinstance(value, str) else value


def _interval(bounds: Any) -> tuple[float, float] | None:
    if not isinstance(bounds, list) or len(bounds) != 2:
        return None
    low, high = (_number(each) for each in bounds)
    return None if low is None or high is None else (float(low), float(high))


def violations(report: Report) -> dict[str, Any]:
    """The content of constraint_violations.json in the layout of Clarify's monitors."""
    return {
        "version": "1.0",
        "violations": [
            {
                "facet": finding.facts["facet"],
                "facet_value": finding.facts["facet_value"],
                "metric_name": finding.facts["metric"],
                "constraint_check_type": finding.check,
                "description": finding.description,
            }
            for finding in report.violations
        ],
    }
