"""Writes what a winner's monitors will compare with: one folder a monitor, in AWS's layouts.

Each folder holds the facts (`statistics.json` or `analysis.json`), the constraints that follow
from them (`original.json`), and the constraints that count (`constraints.json`): the same, with
what a person changed in the constraints of the version before carried on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.domain.constraints import annotate, merge_edits
from perennial.domain.settings import Settings

from jobs.casting import TrainingSchema, read_schema
from jobs.check_data import write_json
from jobs.engine.statistics import constraints_document, statistics_document
from jobs.failures import SettingsError
from jobs.paths import Paths
from jobs.profile import profile
from jobs.run_step import read_json

DATA_QUALITY, MODEL_QUALITY, BIAS, ATTRIBUTION = (
    "data_quality",
    "model_quality",
    "bias",
    "attribution",
)
VERSION = 0.0
ANALYSIS_VERSION = "1.0"
LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"
# The figures that Model Monitor puts constraints on, and what is worse of each.
WORSE = {
    "binary": {
        **dict.fromkeys(
            ("recall", "precision", "accuracy", "true_positive_rate", "true_negative_rate", "auc",
             "f0_5", "f1", "f2"),
            LESS,
        ),
        "false_positive_rate": GREATER,
        "false_negative_rate": GREATER,
    },
    "multiclass": dict.fromkeys(
        ("accuracy", "weighted_recall", "weighted_precision", "weighted_f0_5", "weighted_f1",
         "weighted_f2"),
        LESS,
    ),
    "regression": {"mae": GREATER, "mse": GREATER, "rmse": GREATER, "r2": LESS},
}  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """One monitor's baseline: the facts under their file's name, and constraints from them."""

    kind: str
    name: str
    facts: Mapping[str, Any]
    constraints: Mapping[str, Any]


def run(paths: Paths, settings: Settings) -> str:
    """The job: what the run measured in, the four baselines out."""
    schema = read_schema(paths.input("check") / "schema.json")
    found = [
        data_quality(schema, paths),
        model_quality(settings.problem, read_json(paths.input("evaluation") / "evaluation.json")),
    ]
    # A run without facets has no bias figures, explanations may be switched off, and a first
    # version follows no edits. What a run need not have lies beside its verdict, which it always
    # has, for a job's input must exist.
    beside = paths.input("verdict")
    if (beside / "bias" / "analysis.json").exists():
        found.append(bias(read_json(beside / "bias" / "analysis.json")))
    if (beside / "explanations" / "analysis.json").exists():
        found.append(attribution(read_json(beside / "explanations" / "analysis.json")))
    told = []
    for baseline in found:
        kept, lapsed = write(baseline, paths.output("baselines"), beside / "edits")
        words = baseline.kind.replace("_", " ")
        words += f" ({kept} edited places kept)" if kept else ""
        told.append(words + (f" ({lapsed} edits lapsed)" if lapsed else ""))
    rows = found[0].facts["dataset"]["item_count"]
    return f"baselines of {rows:,} rows: {', '.join(told)}"


def write(baseline: Baseline, output: Path, edits: Path) -> tuple[int, int]:
    """Write one baseline; answer how many edits were kept, and how many lapsed.

    `edits` has the constraints of the version before, as they are now and as they were written,
    in a folder of the same name. Raises `SettingsError` for constraints that cannot be read:
    a person's decision must not get lost in silence.
    """
    folder = output / baseline.kind
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / baseline.name, baseline.facts)
    write_json(folder / "original.json", baseline.constraints)
    edited = edits / baseline.kind / "constraints.json"
    original = edits / baseline.kind / "original.json"
    merged = merge_edits({}, {}, baseline.constraints)
    if edited.exists():
        merged = merge_edits(
            _object(original, baseline.kind), _object(edited, baseline.kind), baseline.constraints
        )
    write_json(folder / "constraints.json", annotate(merged, baseline.constraints))
    for edit in merged.lapsed:
        print(f"{baseline.kind}: the edit of {edit.pointer} lapsed; what held it is gone")
    return len(merged.kept), len(merged.lapsed)


def _object(path: Path, kind: str) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise SettingsError(f"the {kind} baseline's {path.name} of the version before is no object")
    return document


def data_quality(schema: TrainingSchema, paths: Paths) -> Baseline:
    """Statistics of the raw features of the run's rows, and constraints from them."""
    sources = {
        "holdout": paths.input("holdout") / "rows.parquet",
        "training": paths.input("training") / "raw.parquet",
    }
    used = {name: path for name, path in sources.items() if name == "holdout" or path.exists()}
    found = profile(used.values(), schema.features)
    if not found.rows:
        raise SettingsError("the holdout has no rows to make a baseline of")
    notes = {
        "rows": found.rows,
        "sources": list(used),
        "words": (
            f"Raw features, as requests have them, of {found.rows:,} rows: "
            + ("holdout and training rows." if len(used) == 2 else "the holdout, a random part.")
            + f" The label {schema.label} is left out; completeness has room for chance."
        ),
    }
    levels = {
        column.name: [*map(str, column.levels)] if column.type == "category" else ["false", "true"]
        for column in schema.features
        if column.type in ("category", "bool")
    }
    return Baseline(
        DATA_QUALITY,
        "statistics.json",
        statistics_document(found.rows, found.features) | {"perennial": notes},
        constraints_document(found.features, levels) | {"perennial": notes},
    )


def model_quality(problem: str, evaluation: Mapping[str, Any]) -> Baseline:
    """The evaluation's statistics, and for each figure the value one standard deviation worse.

    A figure without a standard deviation (below 200 rows) is its own threshold; one that is not
    defined has none.
    """
    part = "regression" if problem == "regression" else f"{problem}_classification"
    try:
        section = evaluation[f"{part}_metrics"]
        values = {name: section[name] for name in WORSE[problem] if name in section}
        limits = {
            name: {"threshold": threshold, "comparison_operator": WORSE[problem][name]}
            for name, figure in values.items()
            if (threshold := _threshold(figure, WORSE[problem][name])) is not None
        }
    except (KeyError, TypeError) as error:
        raise SettingsError(f"evaluation.json is no evaluation of a {problem}: {error!r}") from None
    told = evaluation.get("perennial", {})
    notes = {key: told[key] for key in ("rows", "threshold") if key in told}
    facts = {key: value for key, value in evaluation.items() if key != "perennial"}
    return Baseline(
        MODEL_QUALITY,
        "statistics.json",
        facts | {"perennial": notes},
        {"version": VERSION, f"{part}_constraints": limits, "perennial": notes},
    )


def _threshold(figure: Mapping[str, Any], worse: str) -> float | None:
    value, deviation = _number(figure["value"]), _number(figure["standard_deviation"])
    if value is None:
        return None
    step = deviation or 0.0
    return value - step if worse == LESS else value + step


def _number(value: Any) -> float | None:
    """The number that AWS writes as such or as text; None for "NaN"."""
    number = float(value)
    return number if math.isfinite(number) else None


def bias(analysis: Mapping[str, Any]) -> Baseline:
    """The bias analysis; its constraints are the figures themselves, which bound later ones."""
    sections = ("pre_training_bias_metrics", "post_training_bias_metrics")
    return _of_analysis(BIAS, analysis, sections, ("rows", "intervals"))


def attribution(analysis: Mapping[str, Any]) -> Baseline:
    """The explanations; their global values are what later ones are ranked against."""
    return _of_analysis(ATTRIBUTION, analysis, ("explanations",), ("rows", "units", "method"))


def _of_analysis(
    kind: str, analysis: Mapping[str, Any], sections: tuple[str, ...], told: tuple[str, ...]
) -> Baseline:
    """Clarify's analysis is its own constraints file, as the suggestion of AWS's jobs is."""
    present = {name: analysis[name] for name in sections if name in analysis}
    if not present:
        raise SettingsError(f"the analysis for the {kind} baseline has no {' nor '.join(sections)}")
    notes = analysis.get("perennial", {})
    constraints = {
        "version": analysis.get("version", ANALYSIS_VERSION),
        **present,
        "perennial": {key: notes[key] for key in told if key in notes},
    }
    return Baseline(kind, "analysis.json", analysis, constraints)
