"""Runs in the jobs' environment: the step `compare` on made-up evaluations, its results as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from perennial.domain.settings import Settings, parse_settings

from jobs import compare
from jobs.failures import JobError
from jobs.paths import Paths

ROWS = 600
HOUR = 3_600_000


def settings(problem: str) -> Settings:
    """The smallest settings of a problem."""
    label = {"type": "float"} if problem == "regression" else {"type": "category"}
    if problem != "regression":
        label["levels"] = ["a", "b"] if problem == "binary" else ["a", "b", "c"]
    document: dict[str, Any] = {
        "problem": problem,
        "label": "y",
        "data": {"columns": {"x": {"type": "float"}, "y": label}},
    }
    if problem == "binary":
        document["positive"] = "b"
    return parse_settings(document, project="m")


class Case:
    """The inputs of one comparison; a change may spoil them before they are written."""

    def __init__(self, problem: str) -> None:
        random = np.random.default_rng(11)
        self.problem = problem
        self.rows = [f"{i:032x}" for i in random.permutation(ROWS)]
        noise = [random.normal(size=ROWS) for _ in range(2)]
        if problem == "regression":
            self.labels: Any = random.normal(size=ROWS)
            self.scores = [self.labels + 0.3 * noise[0], self.labels + 0.5 * noise[1]]
        elif problem == "binary":
            self.labels = random.integers(0, 2, ROWS)
            self.scores = [
                1 / (1 + np.exp(-(2 * self.labels - 1 + spread * n)))
                for spread, n in zip((1, 2), noise, strict=True)
            ]
        else:
            self.labels = random.integers(0, 3, ROWS)
            self.scores = [
                random.dirichlet(np.ones(3), ROWS) + weight * np.eye(3)[self.labels]
                for weight in (0.5, 0.2)
            ]
            self.scores = [scores / scores.sum(axis=1, keepdims=True) for scores in self.scores]
        self.order = random.permutation(ROWS)
        self.champion_problem = problem
        self.champion_labels = self.labels
        self.champion_rows = self.rows
        self.landed: Any = np.repeat(np.arange(6), ROWS // 6) * HOUR

    def write(self, base: Path) -> None:
        """Leave the inputs where the job finds them."""
        for name in ("evaluation", "champion", "holdout"):
            (base / "processing/input" / name).mkdir(parents=True)
        everything = np.arange(ROWS)
        mine = (self.rows, self.labels, self.scores[0])
        theirs = (self.champion_rows, self.champion_labels, self.scores[1])
        self._predictions(base, "evaluation", mine, everything)
        self._predictions(base, "champion", theirs, self.order)
        holdout: dict[str, Any] = {"x": np.zeros(ROWS), "__row": self.rows}
        if self.landed is not None:
            holdout["__landed"] = self.landed
        pq.write_table(pa.table(holdout), base / "processing/input/holdout/rows.parquet")

    def _predictions(
        self, base: Path, name: str, given: tuple[list[str], Any, Any], order: Any
    ) -> None:
        rows, labels, scores = given
        folder = base / "processing/input" / name
        columns: dict[str, Any] = {"__row": [rows[i] for i in order], "label": labels[order]}
        if scores.ndim == 1:
            columns["score"] = scores[order]
        else:
            columns |= {f"score_{code}": scores[order, code] for code in range(scores.shape[1])}
        pq.write_table(pa.table(columns), folder / "predictions.parquet")
        problem = self.problem if name == "evaluation" else self.champion_problem
        document = {"perennial": {"problem": problem}}
        (folder / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")

    def run(self, spoil: Callable[[Path], None] | None = None) -> dict[str, Any]:
        """Run the step: its document and words, or its failure."""
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            self.write(Path(folder))
            if spoil:
                spoil(Path(folder))
            paths = Paths(Path(folder))
            try:
                words = compare.run(paths, settings(self.problem))
            except JobError as error:
                return {"failure": f"{type(error).__name__}: {error}"}
            document = json.loads((paths.output("comparison") / "comparison.json").read_text())
        return {
            "words": words,
            "document": document,
            "labels": self.labels.tolist(),
            "scores": [scores.tolist() for scores in self.scores],
            "rows": self.rows,
        }


def twins() -> Case:
    """Every row's identity occurs three times, with labels of its own."""
    case = Case("binary")
    case.rows = case.champion_rows = [f"{i % 200:032x}" for i in range(ROWS)]
    case.order = np.arange(ROWS)
    return case


def other_rows() -> Case:
    """The champion was scored on two other rows."""
    case = Case("binary")
    case.champion_rows = ["f" * 32, "e" * 32, *case.rows[2:]]
    return case


def other_positive() -> Case:
    """The champion's class 1 is the candidate's class 0."""
    case = Case("binary")
    case.champion_labels = 1 - case.labels
    return case


def other_classes() -> Case:
    """The champion knows a class more."""
    case = Case("multiclass")
    case.scores[1] = np.column_stack([case.scores[1], np.zeros(ROWS)])
    return case


def other_problem() -> Case:
    """The champion was a regression."""
    case = Case("binary")
    case.champion_problem = "regression"
    return case


def no_number() -> Case:
    """Two of the champion's scores are no numbers."""
    case = Case("regression")
    case.scores[1][[3, 5]] = np.nan
    return case


def without_times() -> Case:
    """A holdout that does not say when its rows landed."""
    case = Case("binary")
    case.landed = None
    return case


def main() -> None:
    """Print the result of every case."""
    cases = (twins, other_rows, other_positive, other_classes, other_problem, no_number)
    found = {problem: Case(problem).run() for problem in ("binary", "multiclass", "regression")}
    found |= {case.__name__: case().run() for case in (*cases, without_times)}
    found["missing"] = Case("binary").run(
        lambda base: os.remove(base / "processing/input/champion/predictions.parquet")
    )
    found["torn"] = Case("binary").run(
        lambda base: (
            (base / "processing/input/champion/predictions.parquet").write_bytes(b"PAR1") and None
        )
    )
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
