"""Absolute gates: bounds that a candidate's own figures must keep, and the figures there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# The figures that an evaluation has, by problem (jobs/model_quality.py writes them).
METRICS = {
    "binary": (
        "auc",
        "accuracy",
        "precision",
        "recall",
        "f0_5",
        "f1",
        "f2",
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
        "log_loss",
        "brier",
        "rows",
    ),
    "multiclass": (
        "accuracy",
        "weighted_precision",
        "weighted_recall",
        "weighted_f0_5",
        "weighted_f1",
        "weighted_f2",
        "log_loss",
        "rows",
    ),
    "regression": ("mae", "mse", "rmse", "r2", "rows"),
}
LOWER_IS_BETTER = frozenset(
    {"false_positive_rate", "false_negative_rate", "log_loss", "brier", "mae", "mse", "rmse"}
)
# Figures of the whole model that every evaluation has: milliseconds for one row at the 99th
# percentile, and the unpacked model in megabytes.
SERVING = ("latency_p99_ms", "model_mb")
# Clarify's short names, in its order: before training from labels, after it from predictions.
# FT (the flip test) is left out: it needs neighbours, not counts.
PRE_TRAINING_BIAS = ("CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL")
POST_TRAINING_BIAS = (
    "DPPL",
    "DI",
    "DCA",
    "DCR",
    "RD",
    "SD",
    "DAR",
    "DRR",
    "AD",
    "CDDPL",
    "TE",
    "GE",
)
BIAS_METRICS = (*PRE_TRAINING_BIAS, *POST_TRAINING_BIAS)
CONDITIONAL_BIAS = ("CDDL", "CDDPL")  # they need the column `bias.group`
OPERATORS = {"min": "at least", "max": "at most"}


def facet_metric(metric: str, column: str, group: str) -> str:
    """The name of a figure over one group of a facet: `auc:sex=Female`."""
    return f"{metric}:{column}={group}"


def goal(metric: str) -> Literal["maximize", "minimize"]:
    """Which way a figure of `METRICS` is better."""
    return "minimize" if metric in LOWER_IS_BETTER else "maximize"


@dataclass(frozen=True)
class Gate:
    """One bound: `metric` must be at least (`min`) or at most (`max`) `bound`."""

    metric: str
    operator: str
    bound: float

    @property
    def name(self) -> str:
        """The gate's name in verdicts and overrides, for example `auc.min`."""
        return f"{self.metric}.{self.operator}"


@dataclass(frozen=True)
class GateResult:
    """A gate with the figure it saw; `value` is None when the evaluation has no such figure."""

    gate: Gate
    value: float | None
    passed: bool
    words: str

    def to_json(self) -> dict[str, Any]:
        """The gate's entry in verdict.json."""
        return {
            "name": self.gate.name,
            "metric": self.gate.metric,
            "operator": self.gate.operator,
            "bound": self.gate.bound,
            "value": self.value,
            "passed": self.passed,
            "words": self.words,
        }


def judge_gate(gate: Gate, metrics: Mapping[str, float | None]) -> GateResult:
    """Compare one figure with its bound; a bound is kept when the two are equal.

    A figure that is missing or not a finite number fails: nothing passes unseen.
    """
    value = metrics.get(gate.metric)
    wanted = f"{OPERATORS[gate.operator]} {figure(gate.bound)}"
    if value is None or not math.isfinite(value):
        state = "is not in the evaluation" if value is None else f"is {value}"
        return GateResult(gate, None, False, f"{gate.metric} {state}; wanted {wanted}")
    passed = value >= gate.bound if gate.operator == "min" else value <= gate.bound
    text = figure(value)
    if value != gate.bound and text == figure(gate.bound):
        text = repr(value)  # "0.9 is not at least 0.9" would puzzle its reader
    return GateResult(
        gate, value, passed, f"{gate.metric} {text} is {'' if passed else 'not '}{wanted}"
    )


def judge_gates(
    gates: Iterable[Gate], metrics: Mapping[str, float | None]
) -> tuple[GateResult, ...]:
    """Judge every gate, in the order of the settings."""
    return tuple(judge_gate(gate, metrics) for gate in gates)


def figure(value: float) -> str:
    """A figure as people read it, in at most six significant digits: `0.89996`, `17`, `1e-07`."""
    short = f"{value:.4g}"
    return short if float(short) == value else f"{value:.6g}"
