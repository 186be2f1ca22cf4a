"""Runs in the jobs' environment: requests against a trained model, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from perennial.domain.schema import BadValue

from jobs.casting import read_schema
from jobs.contract import Project
from jobs.scoring import Scorer


def main(model: Path, holdout: Path, folder: Path) -> dict[str, Any]:
    """Score holdout rows as a frame and as requests; explain; refuse bad requests."""
    schema = read_schema(model / "schema.json")
    project = Project(folder, "census", schema.problem, schema.label)
    loaded = project.load(model)
    table = pq.read_table(holdout).slice(0, 50)
    prepared = project.prepare(schema.frame(table))
    whole = project.predict(loaded, prepared)
    scorer = Scorer(project, loaded, schema)
    rows = table.drop_columns(["__row", schema.label]).to_pylist()
    as_text = [{k: "" if v is None else f" {v} " for k, v in row.items()} for row in rows]
    found: dict[str, Any] = {"whole": whole.tolist()}
    for name, requests in (("typed", rows), ("text", as_text)):
        frame = schema.cast_request(requests)
        same = frame.dtypes.equals(schema.frame(table).dtypes)
        scores = [float(scorer.scores([request])[0]) for request in requests]
        found[name] = {"same_types": bool(same), "scores": scores}
    values = project.explain(loaded, prepared)
    raw = np.log(whole / (1 - whole))
    found["explained"] = float(np.abs(values.sum(axis=1) - raw).max())
    found["refused"] = [_refused(schema, {**rows[0], **change}) for change in CHANGES]
    stranger = schema.cast_request([{**rows[0], "native_country": "Atlantis"}])
    found["stranger_is_missing"] = bool(pd.isna(stranger["native_country"].iloc[0]))
    return found


CHANGES: tuple[dict[str, Any], ...] = (
    {"age": "old"},
    {"age": None},
    {"age": 131},
    {"sex": "Other"},
    {"age": [1]},
)


def _refused(schema: Any, row: dict[str, Any]) -> str:
    try:
        schema.cast_request([row])
    except BadValue as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*map(Path, sys.argv[1:]))))
