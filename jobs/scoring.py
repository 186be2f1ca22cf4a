"""Scores requests: few rows by the project's fast path if it has one, all else by frames.

One way for the server, for the evaluation's latency, and for the check that both paths agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from jobs.casting import TrainingSchema
from jobs.contract import Project
from jobs.failures import ModelError

#: predict_row may round otherwise than predict, no more.
RELATIVE, ABSOLUTE = 1e-9, 1e-12
#: Up to so many rows go one by one: a frame costs milliseconds, however few rows it has.
MOST_ROWS = 100

Array = np.ndarray[Any, Any]
Row = Mapping[str, Any]


class Scorer:
    """A loaded model with the schema that its requests are cast to."""

    def __init__(self, project: Project, model: Any, schema: TrainingSchema) -> None:
        self.project = project
        self.model = model
        self.schema = schema
        self._cast = schema.caster().cast
        self.has_row_path = project.predicts_rows

    def scores(self, rows: Sequence[Row]) -> Array:
        """The scores of some requests' rows; raises `BadCell` for one that the schema refuses."""
        if not self.has_row_path or len(rows) > MOST_ROWS:
            return self.frame_scores(rows)
        score, model = self.project.score_row, self.model
        if len(rows) == 1:
            return score(model, self._cast(rows[0]))
        cast = [self._cast(row, number) for number, row in enumerate(rows, 1)]
        return np.concatenate([score(model, row) for row in cast])

    def frame_scores(self, rows: Sequence[Row]) -> Array:
        """The scores by the path of training: a frame, prepared, predicted."""
        return self.project.predict(self.model, self.prepared(rows))

    def prepared(self, rows: Sequence[Row]) -> Any:
        """The prepared frame of some requests' rows; raises `BadCell`."""
        cast = [self._cast(row, number) for number, row in enumerate(rows, 1)]
        return self.project.prepare(self.schema.frame_of(cast))

    def check_rows(self, rows: Sequence[Row]) -> None:
        """Raise `ModelError` unless predict_row gives each row what predict gives it."""
        if not self.has_row_path or not rows:
            return
        whole = self.frame_scores(rows)
        for number, row in enumerate(rows):
            alone = self.scores([row])[0]
            if np.allclose(alone, whole[number], rtol=RELATIVE, atol=ABSOLUTE):
                continue
            raise ModelError(
                f"predict_row() in model.py of {self.project.name} answers {_told(alone)} where "
                f"predict() answers {_told(whole[number])}, for {dict(row)!r:.300}. Make them "
                "agree, or take predict_row out: the server then uses prepare and predict."
            )


def plain(row: Row) -> dict[str, Any]:
    """A row as a request brings it: dates and times as text."""
    return {k: v.isoformat() if isinstance(v, date) else v for k, v in row.items()}


def _told(score: Any) -> str:
    values = np.atleast_1d(score)
    return ", ".join(f"{value:.12g}" for value in values[:6])
