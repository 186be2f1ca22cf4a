"""Measures bias of the labels and of the candidate; writes bias/analysis.json in Clarify's layout.

Pre-training metrics rest on every labelled row of the run (training and holdout), post-training
ones on the holdout, which the model has never seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from perennial.domain.gates import facet_metric
from perennial.domain.settings import Facet, Settings

from jobs.casting import TrainingSchema, read_schema
from jobs.check_data import write_json
from jobs.compare import Predictions, identities, read_table
from jobs.engine.bias import (
    CONFIDENCE,
    METHODS,
    POST_TRAINING,
    PRE_TRAINING,
    Metric,
    measure_value,
    number,
    table_of,
)
from jobs.failures import DataError, SettingsError
from jobs.measures import MISSING_GROUP
from jobs.model_quality import THRESHOLD
from jobs.paths import Paths

Array = np.ndarray[Any, Any]

VERSION = "1.0"
ROW = "__row"
LEFT_OUT = {"FT": "the flip test compares neighbours; it does not come from counts"}


@dataclass(frozen=True)
class Positive:
    """Which labels are the favourable outcome: some classes, or all values above a threshold."""

    classes: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    threshold: float | None = None

    @property
    def words(self) -> str:
        """Clarify's `label_value_or_threshold`."""
        return ",".join(self.classes) if self.threshold is None else f"> {self.threshold:g}"

    def of_texts(self, labels: pa.ChunkedArray) -> Array:
        """The mask of labels as the data hold them, text or numbers."""
        if self.threshold is not None:
            return np.asarray(pc.cast(labels, pa.float64()).to_numpy() > self.threshold)
        return np.asarray(pc.is_in(labels, pa.array(self.classes)).to_numpy())

    def of_codes(self, labels: Array) -> Array:
        """The mask of labels as predictions.parquet holds them, codes or values."""
        if self.threshold is not None:
            return labels > self.threshold
        return np.isin(labels, self.codes)

    def of_scores(self, scores: Array) -> Array:
        """The mask of the rows that the model predicts to be positive."""
        if self.threshold is not None:
            return scores > self.threshold
        return scores >= THRESHOLD if scores.ndim == 1 else self.of_codes(scores.argmax(axis=1))


@dataclass
class Analysis:
    """What has been measured so far."""

    label: str
    positive: Positive
    methods: tuple[str, ...]
    rows: dict[str, int] = field(default_factory=dict)
    sections: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    metrics: dict[str, float | str | None] = field(default_factory=dict)
    intervals: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, stage: str, facet: str, value: str, measured: Sequence[Metric]) -> None:
        """Keep the metrics of one value of a facet."""
        entry = {"value_or_threshold": value, "metrics": [one.to_json() for one in measured]}
        self.sections.setdefault(stage, {}).setdefault(facet, []).append(entry)
        for one in measured:
            self.metrics[facet_metric(one.name, facet, value)] = number(one.value)
            if one.interval is not None:
                interval = [number(bound) for bound in one.interval]
                self.intervals.setdefault(one.name, {})[f"{facet}={value}"] = interval

    def to_json(self) -> dict[str, Any]:
        """The content of analysis.json."""
        document: dict[str, Any] = {"version": VERSION}
        for stage in ("pre_training_bias_metrics", "post_training_bias_metrics"):
            document[stage] = {
                "label": self.label,
                "label_value_or_threshold": self.positive.words,
                "facets": self.sections.get(stage, {}),
            }
        document["perennial"] = {
            "rows": self.rows.get("post_training_bias_metrics", 0),
            "rows_pre_training": self.rows.get("pre_training_bias_metrics", 0),
            "metrics": self.metrics,
            "intervals": self.intervals,
            "confidence": CONFIDENCE,
            "interval_methods": METHODS,
            "left_out": LEFT_OUT,
            "notes": self.notes,
        }
        return document


def run(paths: Paths, settings: Settings) -> str:
    """The job: evaluation, facets of the training rows and holdout in, analysis.json out."""
    schema = read_schema(paths.input("check") / "schema.json")
    analysis = analyse(
        settings,
        schema,
        Predictions.read(paths.input("evaluation")),
        paths.input("training") / "facets.parquet",
        paths.input("holdout") / "rows.parquet",
    )
    document = analysis.to_json()
    write_json(paths.output("bias") / "analysis.json", document)
    for note in analysis.notes:
        print(f"note: {note}")
    facets = ", ".join(facet.column for facet in settings.facets) or "no facet"
    return (
        f"{len(analysis.metrics):,} bias metrics of {facets}: {document['perennial']['rows']:,} "
        f"predicted rows, {document['perennial']['rows_pre_training']:,} labelled ones"
    )


def analyse(
    settings: Settings,
    schema: TrainingSchema,
    predictions: Predictions,
    training: Path,
    holdout: Path,
) -> Analysis:
    """Measure every facet before and after training.

    Without a file of the training rows' facets, labels are those of the holdout alone, and a note
    says so. Raises `SettingsError` when predictions and holdout are of different rows.
    """
    columns = [ROW, settings.label, *raw_columns(settings)]
    held = read_table(holdout, tuple(columns))
    order = np.argsort(identities(held), kind="stable")
    if not np.array_equal(identities(held)[order], predictions.rows):
        raise SettingsError("the predictions are not those of the holdout's rows")
    held = held.take(order)
    parts, notes = [held], []
    if training.exists():
        parts.append(read_table(training, tuple(columns)))
    else:
        notes.append("the training rows' facets are not there: labels are the holdout's alone")
    positive = positive_of(settings, schema, [part.column(settings.label) for part in parts])
    analysis = Analysis(settings.label, positive, settings.bias.methods, notes=notes)
    if settings.problem != "binary":
        analysis.notes.append(f"{settings.label} {positive.words} is taken as the positive outcome")
    labels = np.concatenate([positive.of_texts(part.column(settings.label)) for part in parts])
    _measure(analysis, settings, schema, parts, (labels,))
    after = (positive.of_codes(predictions.labels), positive.of_scores(predictions.scores))
    _measure(analysis, settings, schema, [held], after)
    return analysis


def raw_columns(settings: Settings) -> list[str]:
    """The columns that are needed raw: the facets and the conditional group."""
    names = [*(facet.column for facet in settings.facets), settings.bias.group]
    return list(dict.fromkeys(name for name in names if name))


def positive_of(
    settings: Settings, schema: TrainingSchema, labels: Sequence[pa.ChunkedArray]
) -> Positive:
    """The favourable outcome, as the settings say or as follows from the label.

    That is the positive class, the last of several (levels are listed in the user's order, so the
    last of 1 to 5 stars is the best), or what lies above the median.
    """
    if settings.problem == "regression":
        if settings.bias.threshold is not None:
            return Positive(threshold=settings.bias.threshold)
        values = [pc.cast(part, pa.float64()).to_numpy() for part in labels]
        return Positive(threshold=float(np.median(np.concatenate(values))))
    classes = settings.bias.positive or schema.classes[-1:]
    return Positive(classes=classes, codes=tuple(map(schema.classes.index, classes)))


def _measure(
    analysis: Analysis,
    settings: Settings,
    schema: TrainingSchema,
    parts: Sequence[pa.Table],
    positives: tuple[Array, ...],
) -> None:
    """Measure one stage: labels alone are those before training, with predictions after it."""
    stage, known = (
        ("pre_training_bias_metrics", PRE_TRAINING)
        if len(positives) == 1
        else ("post_training_bias_metrics", POST_TRAINING)
    )
    analysis.rows[stage] = len(positives[0])
    names = [name for name in known if "all" in analysis.methods or name in analysis.methods]
    group = settings.bias.group
    groups = None
    if group:
        codes, texts = codes_of_texts(_column(parts, group), ())
        groups = (codes, len(texts))
    for facet in settings.facets:
        codes, texts = codes_of(facet, schema, _column(parts, facet.column))
        table = table_of((codes, len(texts)), groups, positives)
        for code, text in enumerate(texts):
            found = measure_value(table, code, names, conditional=groups is not None)
            analysis.add(stage, facet.column, text, found)


def _column(parts: Iterable[pa.Table], name: str) -> pa.ChunkedArray:
    try:
        chunks = [chunk for part in parts for chunk in part.column(name).chunks]
    except KeyError:
        raise SettingsError(f"the rows have no column {name}, which bias is measured by") from None
    try:
        return pa.chunked_array(chunks)
    except (pa.ArrowInvalid, TypeError) as error:
        raise DataError(f"column {name} differs between training and holdout: {error}") from None


def codes_of(
    facet: Facet, schema: TrainingSchema, values: pa.ChunkedArray
) -> tuple[Array, list[str]]:
    """Each row's value of a facet as a code, and the values' names.

    Names are those of the evaluation's groups; a level or interval without rows is among them,
    rows without a value are a value of their own.
    """
    if not facet.edges:
        levels = next(column.levels for column in schema.columns if column.name == facet.column)
        return codes_of_texts(values, levels)
    numbers = pc.cast(values, pa.float64()).to_numpy()
    absent = np.isnan(numbers)
    codes = np.digitize(np.where(absent, 0, numbers), facet.edges)
    names = list(facet.groups())
    if absent.any():
        codes[absent] = len(names)
        names.append(MISSING_GROUP)
    return codes, names


def codes_of_texts(values: pa.ChunkedArray, levels: Sequence[str]) -> tuple[Array, list[str]]:
    """Each row's value as a code: first the levels, then what else occurs, last what is missing."""
    encoded = values.combine_chunks().dictionary_encode()
    seen = [str(value) for value in encoded.dictionary.to_pylist()]
    names = [*levels, *sorted(set(seen) - set(levels))]
    places = {name: code for code, name in enumerate(names)}
    lookup = np.array([places[name] for name in seen] + [len(names)], dtype=np.int64)
    codes = pc.fill_null(pc.cast(encoded.indices, pa.int64()), len(seen)).to_numpy()
    if encoded.indices.null_count:
        names.append(MISSING_GROUP)
    return lookup[codes], names
