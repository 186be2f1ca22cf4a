"""The attribution monitor: what the model attends to in a window, beside its baseline.

The version's own model explains a sample of the captured rows, by the ways of the step `explain`:
exact TreeSHAP or linear values where the model allows it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from perennial.domain.settings import Settings

from jobs.archives import unpack
from jobs.attribute import Explained, Explainer
from jobs.captures import Captures
from jobs.casting import TrainingSchema, read_schema, restore_prepared
from jobs.check_data import write_json
from jobs.constraint_rules import is_number, refused
from jobs.contract import BACKGROUND_FILE, Project, project_folder
from jobs.engine.checks import LEVEL, Finding
from jobs.engine.ranking import FEWEST_ROWS, ndcg, ndcg_chance
from jobs.explain import analysis, label_names
from jobs.failures import SettingsError
from jobs.monitor_config import MonitorConfig
from jobs.monitor_report import Report
from jobs.paths import Paths
from jobs.rows import BadCell, RowCaster
from jobs.run_step import read_json

CHECK = "feature_attribution_drift_check"
BOUND = 0.9
ROWS = 2_000


def monitor(paths: Paths, settings: Settings, config: MonitorConfig, hook: Any) -> Report:
    """Explain a window's rows and hold the features' order against the baseline's.

    Raises `SettingsError` for a baseline that cannot be read, and `ModelError` when the model's
    own code fails.
    """
    bound = config.settings.get("ndcg", BOUND)
    if not is_number(bound) or not 0 <= bound <= 1:
        raise refused("monitor.attribution.ndcg", bound, "a number from 0 to 1")
    gains, base_rows = read_gains(read_json(config.baseline_file(paths, "constraints.json")))
    project = Project.of(settings, project_folder())
    report = Report(config)
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        model = Path(folder) / "model"
        model.mkdir()
        unpack(paths.input("model"), model)
        schema = read_schema(model / "schema.json")
        objects = Path(folder) / "objects"
        objects.mkdir()
        captures = Captures(config, [c.name for c in schema.features], objects)
        rows = sample(captures, schema, int(config.settings.get("rows") or ROWS), report, hook)
        report.is_empty = not rows
        if rows:
            found = explain(project, model, schema, rows)
            compare(report, found, schema, gains, base_rows, float(bound))
            document = analysis(found, label_names(schema))
            document["perennial"] |= {"rows": len(found.attributions.values)}
            write_json(paths.output("monitor") / "analysis.json", document)
    write_json(paths.output("monitor") / "constraint_violations.json", violations(report))
    return report


def sample(
    captures: Captures, schema: TrainingSchema, most: int, report: Report, hook: Any
) -> list[dict[str, Any]]:
    """At most so many rows of the window, evenly drawn, cast as the model has them.

    A row that the model would refuse is no row that it answered; such ones are counted.
    """
    # A value beyond the settings' range was answered by nobody who checks it, but it can be cast.
    columns = [replace(c, minimum=None, maximum=None) for c in schema.features]
    caster = RowCaster(columns, schema.missing)
    random = np.random.default_rng(0)
    kept: list[dict[str, Any]] = []
    names = [c.name for c in schema.features]
    refused_rows = seen = 0
    for table in captures.tables() if hook is None else captures.preprocessed(hook):
        report.rows += table.num_rows
        # Vitter's reservoir (algorithm R), a table at a time.
        places = seen + np.arange(table.num_rows)
        slots = np.where(places < most, places, random.integers(0, places + 1))
        for at in np.flatnonzero(slots < most):
            row = {name: table.column(name)[int(at)].as_py() for name in names}
            try:
                cast = caster.cast(row)
            except BadCell:
                refused_rows += 1
                continue
            if slots[at] < len(kept):
                kept[slots[at]] = cast
            else:
                kept.append(cast)
        seen += table.num_rows
    report.broken_lines = captures.tally.broken_lines
    report.notes += captures.tally.notes
    if refused_rows:
        report.notes.append(f"{refused_rows:,} of the drawn rows do not fit the model's columns")
    report.counts = {
        "requests": captures.tally.requests,
        "outside_window": captures.tally.outside_window,
        "objects_of_other_endpoints": captures.tally.other_endpoints,
        "other_versions": captures.tally.other_versions,
        "explained": len(kept),
    }
    return kept


def explain(
    project: Project, folder: Path, schema: TrainingSchema, rows: list[dict[str, Any]]
) -> Explained:
    """The attributions of some cast rows by the model in a folder."""
    model = project.load(folder)
    prepared = project.prepare(schema.frame_of(rows))
    background = folder / BACKGROUND_FILE
    others: pd.DataFrame = (
        restore_prepared(pq.read_table(background), schema) if background.exists() else prepared
    )
    names = [f"captured row {number}" for number in range(1, len(rows) + 1)]
    return Explainer(project, model, prepared, others, names).explain()


def compare(  # noqa: PLR0913, PLR0917  # what is compared with what
    report: Report,
    found: Explained,
    schema: TrainingSchema,
    gains: Mapping[str, Mapping[str, float]],
    base_rows: int,
    bound: float,
) -> None:
    """A finding for each label, with metrics by AWS's names."""
    values = np.abs(found.attributions.values)
    if len(values) < FEWEST_ROWS:
        report.notes.append(
            f"{len(values):,} rows are too few to judge an order of features by; {FEWEST_ROWS} do"
        )
    labels = label_names(schema)
    for code, label in enumerate(labels):
        if label not in gains:
            raise SettingsError(f"constraints.json of the baseline has no {label}")
        given = gains[label]
        then = np.array([given.get(name, 0.0) for name in found.features])
        now = values[:, code].mean(axis=0)
        value = ndcg(now, then)
        chance = ndcg_chance(values[:, code], then, base_rows) if value < bound else 1.0
        fires = value < bound and chance <= LEVEL / len(labels)
        title = label if len(labels) == 1 else f"{label}: {labels[label]}"
        report.findings.append(
            Finding(
                title,
                CHECK,
                value,
                bound,
                (1 - value) / (1 - bound) if bound < 1 else 1 + (1 - value),
                fires,
                f"the features' order of weight has nDCG {value:.3f} (bound {bound:.2f})",
                f"Feature attribution drift {value:.6g} exceeds threshold {bound:.6g}",
                {"label": label, "chance": chance},
            )
        )
        report.metric("ndcg", value, {"Label": label})
        for name, importance in zip(found.features, now.tolist(), strict=True):
            dimensions = {"Label": label, "ValueType": "GlobalShapValues"}
            report.metric(f"feature_{name}", importance, dimensions)
            report.figures.setdefault(label, {})[name] = {
                "now": importance,
                "baseline": given.get(name),
            }
        expected = float(found.attributions.expected[code])
        report.metric("expected_value", expected, {"Label": label, "ValueType": "ExpectedValue"})


def read_gains(document: Any) -> tuple[dict[str, dict[str, float]], int]:
    """The baseline's global values by label and feature, and of how many rows they are."""
    try:
        section = document["explanations"]["kernel_shap"]
        found = {str(label): dict(each["global_shap_values"]) for label, each in section.items()}
        rows = int(document.get("perennial", {}).get("rows", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"constraints.json of the baseline holds no explanations: {error!r}. Restore it from "
            "original.json beside it."
        ) from None
    for label, values in found.items():
        for name, value in values.items():
            if not is_number(value) or value < 0:
                where = f"constraints.json: explanations.kernel_shap.{label}.{name}"
                raise refused(where, value, "a number of at least 0")
    return found, rows


def violations(report: Report) -> dict[str, Any]:
    """The content of constraint_violations.json in the layout of Clarify's monitors."""
    return {
        "violations": [
            {
                "label": finding.facts["label"],
                "metric_name": "shap",
                "constraint_check_type": CHECK,
                "description": finding.description,
            }
            for finding in report.violations
        ]
    }
