"""Explains a model's scores on the holdout: how much each feature adds, row by row and overall.

`analysis.json` and `out.csv` are in SageMaker Clarify's layout; `rows.csv` names the rows of
`out.csv`, where Clarify's readers take every column for a feature.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.settings import Settings

from jobs.archives import unpack
from jobs.attribute import BACKGROUND, TOLERANCE, Explained, Explainer
from jobs.casting import ROW, TrainingSchema, read_schema
from jobs.check_data import write_json
from jobs.contract import Project, project_folder
from jobs.failures import SettingsError
from jobs.packaging import complete
from jobs.paths import Paths

VERSION = "1.0"


def run(paths: Paths, settings: Settings) -> str:
    """The job: model archive and holdout in, analysis.json, out.csv and rows.csv out."""
    project = Project.of(settings, project_folder())
    with tempfile.TemporaryDirectory(prefix="model-") as folder:
        unpack(paths.input("model"), Path(folder))
        complete(Path(folder), settings, project, paths.input("check").parent)
        document = explain(
            settings,
            project,
            Path(folder),
            paths.input("holdout") / "rows.parquet",
            paths.output("explanations"),
        )
    told = document["perennial"]
    values = document["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    largest = sorted(values.items(), key=lambda pair: -pair[1])[:4]
    return (
        f"{told['rows']:,} of {told['holdout_rows']:,} holdout rows explained "
        f"({told['method']}, {told['units']}): "
        + ", ".join(f"{name} {value:.4g}" for name, value in largest)
        + f"; values add up within {told['max_additivity_error']:.1g}"
    )


def explain(
    settings: Settings, project: Project, model_folder: Path, rows: Path, output: Path
) -> dict[str, Any]:
    """Explain a sample of the holdout and write the analysis; answer it as a document.

    Raises `ModelError` naming the model and a row whose values do not sum to its score.
    """
    schema = read_schema(model_folder / "schema.json")
    model = project.load(model_folder)
    wanted, seed = settings.explain.rows, settings.explain.seed
    chosen, others, total = read_sample(rows, schema, wanted, seed)
    names = chosen.column(ROW).to_pylist()
    prepared = project.prepare(schema.frame(pa.concat_tables([chosen, others])))
    explained, background = prepared.iloc[: len(names)], prepared.iloc[len(names) :]
    found = Explainer(project, model, explained, background, names).explain(seed)
    names = names[: len(found.attributions.values)]
    document = analysis(found, label_names(schema))
    document["perennial"] |= {"rows": len(names), "holdout_rows": total, "seed": seed}
    write_json(output / "analysis.json", document)
    write_local(output, found, names)
    return document


def read_sample(
    path: Path, schema: TrainingSchema, rows: int, seed: int
) -> tuple[pa.Table, pa.Table, int]:
    """At most so many holdout rows to explain, background rows, and how many rows there are.

    Equal seeds draw equal rows; the rows to explain come in a drawn order, so that a part of
    them is a fair sample too.
    """
    columns = [*(column.name for column in schema.features), ROW]
    try:
        table = pq.read_table(path, columns=columns)
    except OSError:
        raise SettingsError(f"the job has no holdout rows at {path}") from None
    if not len(table):
        raise SettingsError("the holdout has no rows to explain")
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(table))[: max(rows, 1)]
    others = random.permutation(len(table))[:BACKGROUND]
    return table.take(pa.array(chosen)), table.take(pa.array(others)), len(table)


def label_names(schema: TrainingSchema) -> dict[str, str]:
    """What Clarify's `label0`, `label1` … stand for: the class, or the label, that is scored."""
    if schema.problem == "multiclass":
        return {f"label{code}": name for code, name in enumerate(schema.classes)}
    return {"label0": schema.positive if schema.problem == "binary" else schema.label}


def analysis(found: Explained, labels: Mapping[str, str]) -> dict[str, Any]:
    """The content of analysis.json, but for the counts of rows.

    A feature's global value is the mean of |value|, as Clarify's `mean_abs`.
    """
    values = found.attributions
    told: dict[str, Any] = {
        "method": found.method,
        "units": found.units,
        "max_additivity_error": found.error,
        "tolerance": TOLERANCE,
        "labels": dict(labels),
        "notes": list(found.notes),
        **found.facts,
    }
    if values.mean_errors is not None:
        told["standard_errors"] = {
            label: _by_feature(found, values.mean_errors[code]) for code, label in enumerate(labels)
        }
    section = {
        label: {
            "global_shap_values": _by_feature(found, values.importance[code]),
            "expected_value": float(values.expected[code]),
        }
        for code, label in enumerate(labels)
    }
    return {"version": VERSION, "explanations": {"kernel_shap": section}, "perennial": told}


def _by_feature(found: Explained, figures: np.ndarray[Any, Any]) -> dict[str, float]:
    return dict(zip(found.features, figures.tolist(), strict=True))


def write_local(output: Path, found: Explained, names: Sequence[str]) -> None:
    """The values row by row as Clarify's out.csv has them, and in rows.csv whose they are."""
    values = found.attributions.values
    columns = {
        f"{name}_label{code}": values[:, code, i]
        for code in range(values.shape[1])
        for i, name in enumerate(found.features)
    }
    pd.DataFrame(columns).to_csv(output / "out.csv", index=False)
    pd.DataFrame({ROW: list(names)}).to_csv(output / "rows.csv", index=False)
