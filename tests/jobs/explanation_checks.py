"""Runs in the jobs' environment: explains a kept project's model, and tells what came of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from jobs.casting import read_schema
from jobs.check_project import read_project_settings
from jobs.contract import Project
from jobs.explain import explain
from jobs.failures import JobError


def main(project: Path, kept: Path, rows: int) -> dict[str, Any]:
    """The analysis of the holdout, and the sums of the local values beside the scores."""
    settings = read_project_settings(project, project.name)
    settings = replace(settings, explain=replace(settings.explain, rows=rows))
    loaded = Project(project, project.name, settings.problem, settings.label)
    output = kept / "explanations"
    output.mkdir(exist_ok=True)
    holdout = kept / "holdout" / "rows.parquet"
    try:
        document = explain(settings, loaded, kept / "model", holdout, output)
    except JobError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    local = pd.read_csv(output / "out.csv")
    names = pd.read_csv(output / "rows.csv")["__row"]
    schema = read_schema(kept / "model" / "schema.json")
    table = pq.read_table(holdout)
    frame = loaded.prepare(schema.frame(table)).set_index(table.column("__row").to_pandas())
    scores = loaded.predict(loaded.load(kept / "model"), frame.loc[list(names)])
    first = (output / "analysis.json").read_bytes(), (output / "out.csv").read_bytes()
    explain(settings, loaded, kept / "model", holdout, output)
    again = (output / "analysis.json").read_bytes(), (output / "out.csv").read_bytes()
    sections = document["explanations"]["kernel_shap"]
    sums, means = [], []
    for label, section in sections.items():
        own = local[[name for name in local if name.endswith(f"_{label}")]]
        sums.append((own.sum(axis=1) + section["expected_value"]).tolist())
        mean = own.abs().mean().to_numpy()
        means.append(np.abs(mean - list(section["global_shap_values"].values())).max())
    return {
        "document": document,
        "columns": list(local),
        "sums": sums,
        "scores": np.asarray(scores).reshape(len(local), -1).T.tolist(),
        "off_the_mean": float(max(means)),
        "same_bytes": first == again,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
