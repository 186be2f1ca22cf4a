"""The model-quality monitor: what the model answered, beside what turned out to be right."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from perennial.domain.settings import Settings

from jobs.baseline import WORSE, model_quality
from jobs.captures import Captures
from jobs.casting import TrainingSchema
from jobs.check_data import write_json
from jobs.constraint_rules import is_number, refused
from jobs.engine.quality import GREATER, LESS, Bound, Quality, judge
from jobs.failures import SettingsError
from jobs.model_quality import THRESHOLD, figures, statistics
from jobs.monitor_config import MonitorConfig
from jobs.monitor_report import Report
from jobs.paths import Paths
from jobs.run_step import read_json
from jobs.truth import Row, Truth
from jobs.window_outcomes import outcome_of
from jobs.window_rows import WindowRows

Array = np.ndarray[Any, Any]

# So many labelled rows are kept in memory; of more, an even sample of so many.
MOST_ROWS = 2_000_000
# What an answer without scores cannot tell.
OF_SCORES = ("auc", "log_loss", "brier")


def monitor(paths: Paths, settings: Settings, config: MonitorConfig, hook: Any) -> Report:
    """Compare a window's figures with their bounds; write AWS's files and answer the report.

    Raises `SettingsError` for a baseline that cannot be read, or bounds that are none.
    """
    del hook  # it is about requests; figures rest on answers and labels
    then, document = read_baseline(settings.problem, paths, config)
    bounds = read_bounds(settings.problem, document, config.settings.get("bounds") or {})
    report = Report(config)
    schema = TrainingSchema.of(settings, [set() for _ in settings.data.columns])
    with tempfile.TemporaryDirectory(prefix="capture-") as folder:
        place = Path(folder) / "objects"
        place.mkdir()
        captures = Captures(config, [c.name for c in settings.features], place)
        truth = Truth(settings, config, Path(folder))
        rows = truth.joined(captures, values=config.keep_rows)
        kept = WindowRows(settings, schema) if config.keep_rows else None
        outcomes = Outcomes.gather(schema, rows if kept is None else kept.watch(rows))
        truth.tell(report, captures)
    report.notes += outcomes.notes
    if kept is not None:
        report.counts["rows_kept"] = kept.write(paths.output("rows"))
        report.notes += kept.notes
    report.is_empty = not len(outcomes.labels)
    if not report.is_empty:
        _judge(paths.output("monitor"), report, outcomes, bounds, then, schema)
    else:
        write_json(paths.output("monitor") / "constraint_violations.json", {"violations": []})
    return report


def _judge(  # noqa: PLR0913, PLR0917  # all that a window is judged by
    output: Path,
    report: Report,
    outcomes: Outcomes,
    bounds: Mapping[str, Bound],
    then: Quality,
    schema: TrainingSchema,
) -> None:
    now = outcomes.quality(schema.problem)
    rows = (outcomes.labels, outcomes.scores)
    report.findings = judge(schema.problem, bounds, now, then, rows)
    fires = {finding.name: finding.fires for finding in report.findings}
    for name, value in now.figures.items():
        report.metric(name, value)
        bound = bounds.get(name)
        report.figures[name] = {
            "now": value,
            "baseline": then.figures.get(name),
            **({"bound": bound.threshold, "operator": bound.operator} if bound else {}),
            **({"fires": fires[name]} if name in fires else {}),
        }
    classes = () if schema.problem == "regression" else tuple(schema.classes)
    document = statistics(schema.problem, *rows, classes, times(report.config))
    if not outcomes.has_scores:
        for section in document.values():
            if isinstance(section, dict):
                for name in (*OF_SCORES, *(f"{n}_best_constant_classifier" for n in OF_SCORES)):
                    section.pop(name, None)
    write_json(output / "statistics.json", document)
    suggested = model_quality(schema.problem, document).constraints
    write_json(output / "constraints.json", suggested)
    write_json(
        output / "constraint_violations.json",
        {
            "violations": [
                {
                    "constraint_check_type": finding.check,
                    "description": finding.description,
                    "metric_name": finding.name,
                }
                for finding in report.violations
            ]
        },
    )


def times(config: MonitorConfig) -> dict[str, str]:
    """The dataset's time keys in AWS's layout."""
    stamps = [
        datetime.fromtimestamp(moment / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for moment in (config.start_ms, config.end_ms)
    ]
    return {"start_time": stamps[0], "end_time": stamps[1], "evaluation_time": stamps[1]}


@dataclass
class Outcomes:
    """Labels and scores of the labelled rows: codes and probabilities, or values."""

    labels: Array
    scores: Array
    has_scores: bool
    notes: list[str]

    @classmethod
    def gather(cls, schema: TrainingSchema, rows: Iterator[Row]) -> Outcomes:
        """The outcomes of some rows, at most 2,000,000 of them; unreadable answers are told."""
        kept = _Sample(MOST_ROWS)
        codes = (
            {} if schema.problem == "regression" else {c: i for i, c in enumerate(schema.classes)}
        )
        scored, unknown, total = True, 0, 0
        several = len(codes) if schema.problem == "multiclass" else 0
        for row in rows:
            outcome = outcome_of(schema.problem, row, codes)
            if outcome is None:
                unknown += 1
                continue
            total += 1
            label, score, has_score = outcome
            scored = scored and has_score
            kept.add(label, score)
        labels, scores = kept.arrays()
        if several:
            table = np.zeros((len(labels), several))
            table[np.arange(len(labels)), scores.astype(np.int64)] = 1.0
            scores = table
        notes = []
        if unknown:
            notes.append(f"{unknown:,} answers predict no known class or number, and do not count")
        if total > len(labels):
            notes.append(
                f"figures rest on {len(labels):,} of {total:,} labelled rows, evenly drawn"
            )
        if not scored and schema.problem == "binary" and total:
            notes.append("some answers have no score: auc, log_loss and brier are left out")
        labels = labels if schema.problem == "regression" else labels.astype(np.int64)
        return cls(labels, scores, scored and not several, notes)

    def quality(self, problem: str) -> Quality:
        """The figures, and the rows by actual and predicted class."""
        found = {
            name: value
            for name, value in figures(problem, self.labels, self.scores).items()
            if self.has_scores or name not in OF_SCORES
        }
        found.pop("rows")
        if problem == "regression":
            return Quality(found, len(self.labels))
        predicted = (
            (self.scores >= THRESHOLD).astype(np.int64)
            if problem == "binary"
            else self.scores.argmax(axis=1)
        )
        size = 2 if problem == "binary" else self.scores.shape[1]
        table = np.bincount(self.labels * size + predicted, minlength=size * size)
        return Quality(found, len(self.labels), table.reshape(size, size))


class _Sample:
    """At most so many pairs of numbers; of more, an even sample of them."""

    def __init__(self, most: int, seed: int = 0) -> None:
        self.most = most
        self._random = np.random.default_rng(seed)
        self._kept: list[Array] = []
        self._pending: list[tuple[float, float]] = []

    def add(self, one: float, other: float) -> None:
        self._pending.append((one, other))
        if len(self._pending) >= 100_000:
            self._settle()

    def arrays(self) -> tuple[Array, Array]:
        self._settle()
        found = np.concatenate(self._kept) if self._kept else np.empty((0, 3))
        return found[:, 0], found[:, 1]

    def _settle(self) -> None:
        """Each pair draws a number; those with the smallest stay."""
        if not self._pending:
            return
        pairs = np.array(self._pending)
        drawn = self._random.random((len(pairs), 1))
        self._kept.append(np.concatenate([pairs, drawn], axis=1))
        self._pending = []
        if sum(map(len, self._kept)) > self.most:
            whole = np.concatenate(self._kept)
            self._kept = [whole[np.argpartition(whole[:, 2], self.most - 1)[: self.most]]]


def read_bounds(
    problem: str, document: Any, wanted: Mapping[str, Any], file: str = "constraints.json"
) -> dict[str, Bound]:
    """The figures' bounds: those of the settings if there are any, else those of the file.

    Raises `SettingsError` naming the place that is no bound.
    """
    section = f"{_part(problem)}_constraints"
    given = document.get(section) if isinstance(document, Mapping) else None
    if not isinstance(given, Mapping):
        raise refused(f"{file}: {section}", given, "an object")
    known = WORSE[problem]
    found = {}
    for name, entry in given.items():
        where = f"{file}: {section}.{name}"
        if name not in known:
            raise refused(where, entry, f"one of {', '.join(known)}")
        found[name] = _bound(where, entry)
    chosen = {}
    for name, limits in wanted.items():
        if name not in known or not isinstance(limits, Mapping):
            raise SettingsError(
                f"monitor.model-quality.bounds.{name} is no bound; of a {problem} model min and "
                f"max of {', '.join(known)} can be bounded. Correct model.yaml."
            )
        for key, operator in (("min", LESS), ("max", GREATER)):
            limit = limits.get(key)
            if is_number(limit):
                chosen[name] = Bound(float(limit), operator)
    return chosen or found


def _bound(where: str, entry: Any) -> Bound:
    if not isinstance(entry, Mapping):
        raise refused(where, entry, "an object with threshold and comparison_operator")
    threshold, operator = entry.get("threshold"), entry.get("comparison_operator")
    if not is_number(threshold):
        raise refused(f"{where}.threshold", threshold, "a number")
    if operator not in (LESS, GREATER):
        raise refused(f"{where}.comparison_operator", operator, f"{LESS} or {GREATER}")
    return Bound(float(threshold), operator)


def read_baseline(
    problem: str, paths: Paths, config: MonitorConfig
) -> tuple[Quality, Mapping[str, Any]]:
    """The baseline's figures and the document of its constraints; raises `SettingsError`."""
    document = read_json(config.baseline_file(paths, "statistics.json"))
    name = f"{_part(problem)}_metrics"
    try:
        section = document[name]
        rows = int(document["dataset"]["item_count"])
        told = {
            figure: _figure(entry["value"])
            for figure, entry in section.items()
            if isinstance(entry, Mapping) and "value" in entry
        }
        confusion = _table(section["confusion_matrix"]) if "confusion_matrix" in section else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"statistics.json of the baseline holds no {name} that can be read: {error!r}"
        ) from None
    constraints = read_json(config.baseline_file(paths, "constraints.json"))
    return Quality(told, rows, confusion), constraints


def _part(problem: str) -> str:
    return "regression" if problem == "regression" else f"{problem}_classification"


def _figure(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def _table(matrix: Mapping[str, Mapping[str, Any]]) -> Array:
    names: Sequence[str] = list(matrix)
    return np.array([[int(matrix[a].get(p, 0)) for p in names] for a in names])
