"""Runs in the jobs' environment: the step `measure_bias` on made-up rows, its results as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.settings import Facet, Settings, parse_settings

from jobs import measure_bias
from jobs.casting import TrainingSchema
from jobs.check_data import write_json
from jobs.evaluate import group_of_rows
from jobs.failures import JobError
from jobs.paths import Paths

LEVELS = {"binary": ["no", "yes"], "multiclass": ["1", "2", "3"], "regression": []}
TRAINING, HOLDOUT = 700, 300


def settings(problem: str, **changed: Any) -> Settings:
    """A model with a facet of each kind: levels, edges, truth values."""
    label: dict[str, Any] = {"type": "category", "levels": LEVELS[problem]}
    document: dict[str, Any] = {
        "problem": problem,
        "label": "y",
        "facets": {"sex": {}, "age": {"edges": [30, 60]}, "member": {}},
        "bias": {"group": "school"},
        "data": {
            "columns": {
                "sex": {"type": "category", "levels": ["F", "M", "X"]},
                "age": {"type": "int", "required": False},
                "member": {"type": "bool", "required": False},
                "school": {"type": "int"},
                "y": {"type": "float"} if problem == "regression" else label,
            }
        },
    }
    if problem == "binary":
        document["positive"] = "yes"
    return parse_settings({**document, **changed}, project="m")


class Case:
    """The inputs of one measurement; a change may spoil them before they are written."""

    def __init__(self, problem: str, **changed: Any) -> None:
        self.settings = settings(problem, **changed)
        random = np.random.default_rng(21)
        rows = TRAINING + HOLDOUT
        ages = random.integers(18, 80, rows).tolist()
        members = random.integers(0, 2, rows).astype(bool).tolist()
        self.columns: dict[str, Any] = {
            "sex": random.choice(["F", "M"], rows, p=[0.3, 0.7]).tolist(),
            "age": [None if i % 50 == 0 else age for i, age in enumerate(ages)],
            "member": [None if i % 70 == 0 else member for i, member in enumerate(members)],
            "school": random.integers(1, 5, rows).tolist(),
        }
        if problem == "regression":
            self.labels: list[Any] = random.normal(size=rows).tolist()
            self.codes: Any = np.array(self.labels[TRAINING:])
            self.scores = self.codes + random.normal(size=HOLDOUT)
        else:
            levels = LEVELS[problem]
            codes = random.integers(0, len(levels), rows)
            self.labels = [levels[code] for code in codes]
            self.codes = codes[TRAINING:]
            noise = random.random((HOLDOUT, len(levels)))
            scores = noise + 0.5 * np.eye(len(levels))[self.codes]
            self.scores = scores / scores.sum(axis=1, keepdims=True)
            if problem == "binary":
                self.scores = self.scores[:, 1]
        self.rows = [f"{i:032x}" for i in random.permutation(rows)]
        self.with_training = True

    def write(self, base: Path) -> None:
        """Leave the inputs where the job finds them."""
        folder = base / "processing/input"
        for name in ("evaluation", "training", "holdout", "check"):
            (folder / name).mkdir(parents=True)
        schema = TrainingSchema.of(self.settings, [set() for _ in self.settings.data.columns])
        write_json(folder / "check/schema.json", schema.to_json())
        training, holdout = slice(TRAINING), slice(TRAINING, None)
        if self.with_training:
            columns = {name: values[training] for name, values in self.columns.items()}
            labels = [str(label) for label in self.labels[training]]
            table = pa.table({"__row": self.rows[training], "y": labels, **columns})
            pq.write_table(table, folder / "training/facets.parquet")
        columns = {name: values[holdout] for name, values in self.columns.items()}
        table = pa.table({**columns, "y": self.labels[holdout], "__row": self.rows[holdout]})
        pq.write_table(table, folder / "holdout/rows.parquet")
        order = np.random.default_rng(5).permutation(HOLDOUT)
        predictions: dict[str, Any] = {
            "__row": [self.rows[holdout][i] for i in order],
            "label": self.codes[order],
        }
        if self.scores.ndim == 1:
            predictions["score"] = self.scores[order]
        else:
            predictions |= {f"score_{c}": s[order] for c, s in enumerate(self.scores.T)}
        pq.write_table(pa.table(predictions), folder / "evaluation/predictions.parquet")

    def run(self, spoil: Callable[[Path], None] | None = None) -> dict[str, Any]:
        """Run the step: its document and words, or its failure."""
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            self.write(Path(folder))
            if spoil:
                spoil(Path(folder) / "processing/input")
            paths = Paths(Path(folder))
            try:
                words = measure_bias.run(paths, self.settings)
            except JobError as error:
                return {"failure": f"{type(error).__name__}: {error}"}
            document = json.loads((paths.output("bias") / "analysis.json").read_text())
        return {"words": words, "document": document}

    def raw(self) -> dict[str, Any]:
        """The rows as the test computes from them."""
        return {
            "labels": self.labels,
            "scores": self.scores.tolist(),
            "groups": [
                group_of_rows(facet, pd.Series(self.columns[facet.column])).tolist()
                for facet in (Facet("sex"), Facet("age", (30.0, 60.0)), Facet("member"))
            ],
            "school": [str(value) for value in self.columns["school"]],
        }


def lost_row(folder: Path) -> None:
    """Forget a row of the holdout."""
    path = folder / "holdout/rows.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


def lost_facet(folder: Path) -> None:
    """Forget a facet of the training rows."""
    path = folder / "training/facets.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["sex"]), path)


def other_type(folder: Path) -> None:
    """Write a facet of the training rows with another type."""
    path = folder / "training/facets.parquet"
    table = pq.read_table(path)
    index = table.column_names.index("member")
    pq.write_table(table.set_column(index, "member", pa.array(["?"] * len(table))), path)


def main() -> None:
    """Print the result of every case."""
    found: dict[str, Any] = {}
    for problem in LEVELS:
        case = Case(problem)
        found[problem] = {**case.run(), **case.raw()}
    case = Case("binary")
    case.with_training = False
    found["without_training"] = case.run()
    constant = Case("binary")
    constant.labels = ["no"] * (TRAINING + HOLDOUT)
    constant.codes = np.zeros(HOLDOUT, dtype=int)
    found["constant"] = constant.run()
    found["few"] = Case("binary", bias={"methods": ["DPL", "DI"]}).run()
    found["two_classes"] = Case("multiclass", bias={"positive": ["2", "3"]}).run()
    found["threshold"] = Case("regression", bias={"threshold": 0.5}).run()
    found["no_group"] = Case("binary", bias={}).run()
    found["no_facets"] = Case("binary", facets={}, bias={}).run()
    found["lost_row"] = Case("binary").run(lost_row)
    found["lost_facet"] = Case("binary").run(lost_facet)
    found["other_type"] = Case("binary").run(other_type)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
