"""A model as its server holds it: from a request's body to an answer's, without HTTP.

Formats are in docs/serving.md.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from jobs.attribute import Explained, Explainer
from jobs.casting import read_schema, restore_prepared
from jobs.contract import BACKGROUND_FILE, Project, project_folder
from jobs.model_quality import THRESHOLD
from jobs.request_bodies import CSV, JSON, LINES, Asked, BadRequest, read_request
from jobs.rows import BadCell
from jobs.run_step import read_json
from jobs.scoring import Array, Scorer

MOST_EXPLAINED = 100
#: What an answer can be, in the order of preference, for `*/*` and the like.
ANSWERS = (JSON, CSV, LINES)
FAILED = "the model failed at this request; the server's log says where"


@dataclass(frozen=True)
class Reply:
    """An answer: HTTP status, body, content type."""

    status: int
    body: str
    kind: str = JSON


class Served:
    """A loaded model that answers requests."""

    def __init__(self, folder: Path, version: int | None) -> None:
        self.schema = read_schema(folder / "schema.json")
        metadata = read_json(folder / "metadata.json")
        self.name = str(metadata["model"])
        self.version = version
        schema = self.schema
        self.project = Project(
            project_folder(),
            self.name,
            schema.problem,
            schema.label,
            algorithm=metadata.get("algorithm", ""),
            image=metadata.get("image", ""),
        )
        self.scorer = Scorer(self.project, self.project.load(folder), schema)
        self._labels = [json.dumps(label) for label in schema.classes] if schema.positive else []
        self._features = [column.name for column in schema.features]
        self._background = _read_background(folder, self)
        self._end = json.dumps({"model": self.name, "version": version})[1:]

    def answer(self, body: str | bytes, content_type: str, accept: str | None) -> Reply:
        """The answer to one request; nothing that a client sends makes it raise."""
        try:
            kind = chosen(accept)
            asked = read_request(body, content_type, self._features)
            scores = self.scorer.scores(asked.rows)
            contributions = self._explained(asked, scores, kind) if asked.explain else []
        except BadCell as error:
            return _refusal(400, f"{error}; expected {error.expected}", _cell(error))
        except BadRequest as error:
            return _refusal(error.status, str(error), error.facts)
        except Exception as error:
            # The project's own code: a client learns that it failed, the log how.
            traceback.print_exc()
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return _refusal(500, FAILED, {})
        return self._said(kind, asked, scores, contributions)

    def _said(
        self, kind: str, asked: Asked, scores: Array, contributions: list[dict[str, Any]]
    ) -> Reply:
        if kind == CSV:
            return Reply(200, self._csv(scores), CSV)
        if kind == JSON and not (contributions or asked.ignored) and scores.ndim == 1:
            return Reply(200, f'{{"predictions": [{self._plain(scores)}], {self._end}', JSON)
        predictions = self._predictions(scores)
        for place, more in enumerate(contributions):
            predictions[place].update(more)
        if kind == LINES:
            return Reply(200, "".join(json.dumps(each) + "\n" for each in predictions), LINES)
        ignored = f'"ignored": {json.dumps(asked.ignored)}, ' if asked.ignored else ""
        return Reply(200, f'{{"predictions": {json.dumps(predictions)}, {ignored}{self._end}', JSON)

    def _plain(self, scores: Array) -> str:
        """`_predictions` of one score a row as JSON, without a document in between."""
        if self.schema.problem == "regression":
            return ", ".join([f'{{"prediction": {value!r}}}' for value in scores.tolist()])
        labels = self._labels
        return ", ".join(
            [
                f'{{"prediction": {labels[score >= THRESHOLD]}, '
                f'"confidence": {max(score, 1 - score)!r}, "score": {score!r}}}'
                for score in scores.tolist()
            ]
        )

    def _predictions(self, scores: Array) -> list[dict[str, Any]]:
        problem = self.schema.problem
        if problem == "regression":
            return [{"prediction": value} for value in scores.tolist()]
        classes = self.schema.classes
        if problem == "binary":
            return [
                {
                    "prediction": classes[score >= THRESHOLD],
                    "confidence": max(score, 1 - score),
                    "score": score,
                }
                for score in scores.tolist()
            ]
        return [
            {
                "prediction": classes[code],
                "confidence": row[code],
                "scores": dict(zip(classes, row, strict=True)),
            }
            for code, row in zip(scores.argmax(axis=1).tolist(), scores.tolist(), strict=True)
        ]

    def _csv(self, scores: Array) -> str:
        """A line a row: the prediction and, for classes, its score."""
        if self.schema.problem == "regression":
            return "".join(f"{value!r}\n" for value in scores.tolist())
        key = "score" if self.schema.problem == "binary" else "confidence"
        return "".join(
            f"{_quoted(each['prediction'])},{each[key]!r}\n" for each in self._predictions(scores)
        )

    def _explained(self, asked: Asked, scores: Array, kind: str) -> list[dict[str, Any]]:
        """What each feature adds to each row's score: that of the predicted class for several."""
        if kind == CSV:
            raise BadRequest("an explanation does not fit into CSV; accept JSON", 406)
        if len(asked.rows) > MOST_EXPLAINED:
            raise BadRequest(
                f"{len(asked.rows):,} rows are to be explained; at most {MOST_EXPLAINED} in one "
                "request"
            )
        names = [str(number) for number in range(1, len(asked.rows) + 1)]
        rows = self.scorer.prepared(asked.rows)
        found = Explainer(self.project, self.scorer.model, rows, self._background, names).explain()
        codes = [0] * len(rows) if scores.ndim == 1 else scores.argmax(axis=1).tolist()
        return [_contributions(found, row, code) for row, code in enumerate(codes)]


def _contributions(found: Explained, row: int, code: int) -> dict[str, Any]:
    values = found.attributions
    return {
        "contributions": dict(zip(found.features, values.values[row, code].tolist(), strict=True)),
        "expected": float(values.expected[code]),
        "units": found.units,
    }


def _read_background(folder: Path, served: Served) -> Any:
    """Prepared rows that explanations compare with; scored once, which also warms the model up."""
    background = restore_prepared(pq.read_table(folder / BACKGROUND_FILE), served.schema)
    served.project.predict(served.scorer.model, background)
    return background


def chosen(accept: str | None) -> str:
    """The content type of the answer; raises `BadRequest` (406) when none is acceptable."""
    if not accept:
        return JSON
    for part in accept.lower().split(","):
        pattern, _, parameters = part.partition(";")
        if parameters.replace(" ", "").startswith("q=0") and not parameters.strip(" q=0."):
            continue
        wanted = pattern.strip()
        for kind in ANSWERS:
            if wanted in (kind, "*/*", f"{kind.partition('/')[0]}/*"):
                return kind
    raise BadRequest(
        f"accept {accept[:100]!r} cannot be met; answers are {', '.join(ANSWERS)}", 406
    )


def _cell(error: BadCell) -> Mapping[str, Any]:
    return {"row": error.row, "column": error.column, "expected": error.expected}


def _refusal(status: int, words: str, facts: Mapping[str, Any]) -> Reply:
    return Reply(status, json.dumps({"error": words, **facts}, ensure_ascii=True), JSON)


def _quoted(text: str) -> str:
    """A cell of CSV (RFC 4180)."""
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
