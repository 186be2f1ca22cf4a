"""Stands in for Amazon SageMaker Clarify's container: bias metrics of a dataset with predictions.

Run as `clarify.py FOLDER`, the folder that a processing job calls /opt/ml/processing: reads
input/config/analysis_config.json and the Parquet files of input/data, writes output/analysis.json.
Formulas and layout are those of "Measure Pre-training Bias", "Measure Post-training Data and
Model Bias" and "Analysis Results" in the SageMaker developer guide, from counts of rows. It
writes no report, and refuses by name what it does not do: other formats, thresholds, models
behind endpoints, explanations, and the flip test (FT), which compares neighbours.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PARQUET = "application/x-parquet"
TAKEN = frozenset(
    {"dataset_type", "headers", "label", "predicted_label", "label_values_or_threshold", "facet",
     "group_variable", "methods"}
)  # fmt: skip
DESCRIPTIONS = {
    "CI": "Class Imbalance (CI)",
    "DPL": "Difference in Positive Proportions in Labels (DPL)",
    "KL": "Kullback-Liebler Divergence (KL)",
    "JS": "Jensen-Shannon Divergence (JS)",
    "LP": "L-p Norm (LP)",
    "TVD": "Total Variation Distance (TVD)",
    "KS": "Kolmogorov-Smirnov Distance (KS)",
    "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
    "DPPL": "Difference in Positive Proportions in Predicted Labels (DPPL)",
    "DI": "Disparate Impact (DI)",
    "DCA": "Difference in Conditional Acceptance (DCA)",
    "DCR": "Difference in Conditional Rejection (DCR)",
    "RD": "Recall Difference (RD)",
    "SD": "Specificity Difference (SD)",
    "DAR": "Difference in Acceptance Rates (DAR)",
    "DRR": "Difference in Rejection Rates (DRR)",
    "AD": "Accuracy Difference (AD)",
    "CDDPL": "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
    "TE": "Treatment Equality (TE)",
    "GE": "Generalized Entropy (GE)",
    "FT": "Flip Test (FT)",
}
STAGES = {
    "pre_training_bias": ("CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL"),
    "post_training_bias": ("DPPL", "DI", "DCA", "DCR", "RD", "SD", "DAR", "DRR", "AD", "CDDPL",
                           "TE", "GE", "FT"),
}  # fmt: skip


class ClarifyError(Exception):
    """What makes the job fail, in words for its ExitMessage."""


@dataclass(frozen=True)
class Side:
    """The rows of one facet value, or of all others: how often each label met each prediction."""

    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.tp + self.fn + self.fp + self.tn

    @property
    def shares(self) -> tuple[float, float]:
        """The distribution of labels: favourable, not."""
        return ratio(self.tp + self.fn, self.rows), ratio(self.fp + self.tn, self.rows)


def ratio(part: float, whole: float) -> float:
    """A quotient as Clarify takes it: 0/0 is 0, x/0 is infinite."""
    if not whole:
        return math.inf if part else 0.0
    return part / whole


def apart(one: float, other: float) -> float:
    """A difference, in which two infinite rates are equal."""
    return 0.0 if one == other else one - other


def divergence(one: Sequence[float], other: Sequence[float]) -> float:
    """Kullback and Leibler's, in nats."""
    return sum(p * math.log(p / q) if q else math.inf for p, q in zip(one, other, strict=True) if p)


def jensen_shannon(a: Side, d: Side) -> float:
    """The mean divergence of both distributions from their middle."""
    middle = [(p + q) / 2 for p, q in zip(a.shares, d.shares, strict=True)]
    return (divergence(a.shares, middle) + divergence(d.shares, middle)) / 2


def gaps(a: Side, d: Side) -> list[float]:
    """How far the shares of each label lie apart."""
    return [abs(p - q) for p, q in zip(a.shares, d.shares, strict=True)]


def entropy(a: Side, d: Side) -> float:
    """Generalised entropy, alpha 2, of the benefits prediction - label + 1 of all rows."""
    rows, more, less = a.rows + d.rows, a.fp + d.fp, a.fn + d.fn
    mean = (rows + more - less) / rows
    if not mean:
        raise ClarifyError("every row is a false negative")
    benefits = {0: less, 1: rows - more - less, 2: more}
    return sum(n * ((b / mean) ** 2 - 1) for b, n in benefits.items()) / (2 * rows)


# Of the others (a) and the rows of the facet value (d); the guide's letters and signs.
FORMULAS: Mapping[str, Callable[[Side, Side], float]] = {
    "CI": lambda a, d: (a.rows - d.rows) / (a.rows + d.rows),
    "DPL": lambda a, d: a.shares[0] - d.shares[0],
    "KL": lambda a, d: divergence(a.shares, d.shares),
    "JS": jensen_shannon,
    "LP": lambda a, d: math.hypot(*gaps(a, d)),
    "TVD": lambda a, d: sum(gaps(a, d)) / 2,
    "KS": lambda a, d: max(gaps(a, d)),
    "DPPL": lambda a, d: ratio(a.tp + a.fp, a.rows) - ratio(d.tp + d.fp, d.rows),
    "DI": lambda a, d: ratio(ratio(d.tp + d.fp, d.rows), ratio(a.tp + a.fp, a.rows)),
    "DCA": lambda a, d: apart(ratio(a.tp + a.fn, a.tp + a.fp), ratio(d.tp + d.fn, d.tp + d.fp)),
    "DCR": lambda a, d: apart(ratio(d.tn + d.fp, d.tn + d.fn), ratio(a.tn + a.fp, a.tn + a.fn)),
    "RD": lambda a, d: ratio(a.tp, a.tp + a.fn) - ratio(d.tp, d.tp + d.fn),
    "SD": lambda a, d: ratio(d.tn, d.tn + d.fp) - ratio(a.tn, a.tn + a.fp),
    "DAR": lambda a, d: ratio(a.tp, a.tp + a.fp) - ratio(d.tp, d.tp + d.fp),
    "DRR": lambda a, d: ratio(d.tn, d.tn + d.fn) - ratio(a.tn, a.tn + a.fn),
    "AD": lambda a, d: ratio(a.tp + a.tn, a.rows) - ratio(d.tp + d.tn, d.rows),
    "TE": lambda a, d: apart(ratio(d.fn, d.fp), ratio(a.fn, a.fp)),
    "GE": entropy,
}


@dataclass(frozen=True)
class Rows:
    """The dataset: the columns that are measured, labels and predictions as truth values."""

    facets: Mapping[str, Sequence[str]]
    group: Sequence[str] | None
    labels: Sequence[bool]
    predictions: Sequence[bool]

    def table(self, facet: str) -> Table:
        """How often each combination occurs."""
        groups = self.group or repeat("", len(self.labels))
        columns = (self.facets[facet], groups, self.labels, self.predictions)
        return Table(Counter(zip(*columns, strict=True)), is_grouped=self.group is not None)


@dataclass(frozen=True)
class Table:
    """Counts of rows by facet value, conditional group, label and prediction."""

    cells: Mapping[tuple[str, str, bool, bool], int]
    is_grouped: bool

    def sides(self, value: str) -> tuple[Side, Side]:
        """The rows of all others, and those of one value."""
        counts: Counter[tuple[bool, bool, bool]] = Counter()
        for (each, _, label, predicted), rows in self.cells.items():
            counts[each == value, label, predicted] += rows
        outcomes = ((True, True), (True, False), (False, True), (False, False))
        a, d = (Side(*(counts[(is_d, *each)] for each in outcomes)) for is_d in (False, True))
        return a, d

    def conditional(self, value: str, *, predicted: bool) -> float:
        """Demographic disparity within each group, weighted by the groups' rows."""
        if not self.is_grouped:
            raise ClarifyError("Group variable is empty or not provided")
        whole: Counter[tuple[str, bool]] = Counter()
        of_d: Counter[tuple[str, bool]] = Counter()
        for (each, group, *outcomes), rows in self.cells.items():
            whole[group, outcomes[predicted]] += rows
            of_d[group, outcomes[predicted]] += rows if each == value else 0
        kinds = {outcome for _, outcome in whole}
        if len(kinds) < 2:
            raise ClarifyError(f"no row is {'negative' if True in kinds else 'positive'}")
        total = 0.0
        for group in {group for group, _ in whole}:
            refused, accepted = (
                ratio(of_d[group, outcome], whole[group, outcome]) for outcome in (False, True)
            )
            total += (whole[group, False] + whole[group, True]) * (refused - accepted)
        return total / whole.total()

    def value(self, name: str, value: str) -> float:
        """One metric of one value of the facet; raises `ClarifyError` where there is none."""
        if name == "FT":
            raise ClarifyError("the local cloud's Clarify has no flip test: it needs neighbours")
        a, d = self.sides(value)
        if not a.rows:
            raise ClarifyError("every row has this value; there is none to compare with")
        if name in ("CDDL", "CDDPL"):
            return self.conditional(value, predicted=name == "CDDPL")
        return FORMULAS[name](a, d)


def measured(table: Table, names: Iterable[str], value: str) -> list[dict[str, Any]]:
    """The metrics of one value of a facet, as Clarify lists them."""
    found = []
    for name in names:
        entry: dict[str, Any] = {"name": name, "description": DESCRIPTIONS[name], "value": None}
        try:
            result = table.value(name, value)
        except ClarifyError as error:
            entry["error"] = str(error)
        else:
            words = "Infinity" if result > 0 else "-Infinity"
            entry["value"] = result if math.isfinite(result) else words
        found.append(entry)
    return found


def methods_of(config: Mapping[str, Any]) -> dict[str, list[str]]:
    """The metrics that are asked for, by stage; raises `ClarifyError` for what is not done here."""
    asked = {name: how for name, how in config.get("methods", {}).items() if name != "report"}
    unknown = sorted(set(asked) - set(STAGES))
    if unknown:
        raise ClarifyError(
            f"the local cloud's Clarify does not do {', '.join(unknown)}; it does "
            f"{', '.join(STAGES)}"
        )
    if not asked:
        raise ClarifyError("analysis_config.json asks for no method")
    found = {}
    for stage, how in asked.items():
        names = how.get("methods", "all")
        chosen = list(STAGES[stage]) if names == "all" else list(names)
        bad = [name for name in chosen if name not in STAGES[stage]]
        if bad or (names != "all" and "FT" in chosen):
            raise ClarifyError(f"the local cloud's Clarify has no {', '.join(bad) or 'FT'}")
        found[stage] = chosen
    return found


def check_config(config: Any) -> Mapping[str, Any]:
    """Raise `ClarifyError` for a configuration that is none, or that asks for more than we do."""
    if not isinstance(config, dict):
        raise ClarifyError("analysis_config.json holds no JSON object")
    lacking = [
        name
        for name in ("dataset_type", "label", "label_values_or_threshold", "facet", "methods")
        if not config.get(name)
    ]
    if lacking:
        raise ClarifyError(f"analysis_config.json lacks {', '.join(lacking)}")
    unknown = sorted(set(config) - TAKEN)
    if unknown:
        raise ClarifyError(f"the local cloud's Clarify does not take {', '.join(unknown)}")
    if config["dataset_type"] != PARQUET:
        raise ClarifyError(
            f"the local cloud's Clarify reads {PARQUET}, not {config['dataset_type']}"
        )
    if any("value_or_threshold" in facet for facet in config["facet"]):
        raise ClarifyError(
            "the local cloud's Clarify measures every value of a facet; it takes no "
            "value_or_threshold"
        )
    if "post_training_bias" in config["methods"] and "predicted_label" not in config:
        raise ClarifyError("post_training_bias needs predicted_label: no model is called here")
    return config


def read_rows(folder: Path, config: Mapping[str, Any]) -> Rows:
    """The dataset's rows; raises `ClarifyError` for columns that are missing or have gaps."""
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise ClarifyError("there is no Parquet file in input/data")
    try:
        table = pa.concat_tables([pq.read_table(file) for file in files])
    except (pa.ArrowInvalid, OSError) as error:
        raise ClarifyError(f"the dataset cannot be read: {error}") from None
    headers = config.get("headers") or table.column_names
    if len(headers) != len(table.column_names):
        raise ClarifyError(f"the dataset has {len(table.column_names)} columns, not {len(headers)}")
    table = table.rename_columns(list(headers))

    def column(name: str) -> list[Any]:
        if name not in headers:
            raise ClarifyError(f"the dataset has no column {name}")
        values: list[Any] = table.column(name).to_pylist()
        if None in values:
            raise ClarifyError(f"column {name} has missing values")
        return values

    favourable = set(config["label_values_or_threshold"])
    labels = [value in favourable for value in column(config["label"])]
    if not labels:
        raise ClarifyError("the dataset has no rows")
    predicted = config.get("predicted_label")
    predictions = column(predicted) if predicted else [0] * len(labels)
    group = config.get("group_variable")
    names = [facet["name_or_index"] for facet in config["facet"]]
    return Rows(
        facets={name: [str(value) for value in column(name)] for name in names},
        group=[str(value) for value in column(group)] if group else None,
        labels=labels,
        predictions=[value in favourable for value in predictions],
    )


def analyse(config: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """The content of analysis.json."""
    outcome = ",".join(str(value) for value in config["label_values_or_threshold"])
    document: dict[str, Any] = {"version": "1.0"}
    tables = {facet: rows.table(facet) for facet in rows.facets}
    for stage, names in methods_of(config).items():
        document[f"{stage}_metrics"] = {
            "label": config["label"],
            "label_value_or_threshold": outcome,
            "facets": {
                facet: [
                    {
                        "value_or_threshold": value,
                        "metrics": measured(tables[facet], names, value),
                    }
                    for value in sorted(set(values))
                ]
                for facet, values in rows.facets.items()
            },
        }
    return document


def main(folder: str) -> int:
    """Analyse; 0, or 1 with the reason in the log and in the job's exit message."""
    base = Path(folder)
    try:
        try:
            text = (base / "input/config/analysis_config.json").read_text(encoding="utf-8")
            config = check_config(json.loads(text))
        except OSError:
            raise ClarifyError("there is no input/config/analysis_config.json") from None
        except ValueError as error:
            raise ClarifyError(f"analysis_config.json is no JSON: {error}") from None
        document = analyse(config, read_rows(base / "input/data", config))
    except ClarifyError as error:
        sys.stderr.write(f"Clarify (local stand-in): {error}\n")
        message = base.parent / "output/message"
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_text(str(error), encoding="utf-8")
        return 1
    output = base / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / "analysis.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    facets = ", ".join(document[next(s for s in document if s != "version")]["facets"])
    sys.stdout.write(f"Clarify (local stand-in): measured {facets}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
