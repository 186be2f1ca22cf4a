"""What one answer of a window says as numbers: the label, and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping

from perennial.domain.captured import Scored

from jobs.truth import Row


def outcome_of(
    problem: str, row: Row, codes: Mapping[str, int]
) -> tuple[float, float, bool] | None:
    """A row's label and score as numbers, and whether the answer told a score; None when the
    answer, or the label, is none of the model's."""
    answer = row.answer
    if problem == "regression":
        try:
            return float(row.label), float(answer.prediction), True
        except ValueError:
            return None
    label = codes.get(row.label)
    found = _predicted(problem, answer, codes)
    return None if label is None or found is None else (label, *found)


def _predicted(problem: str, answer: Scored, codes: Mapping[str, int]) -> tuple[float, bool] | None:
    """The score of a binary answer, or the code of the class that it names; whether it is a
    score."""
    predicted = codes.get(answer.prediction)
    if problem == "multiclass":
        return None if predicted is None else (predicted, False)
    if answer.score is not None and 0 <= answer.score <= 1:
        return answer.score, True
    if predicted is not None:
        return float(predicted), False
    try:  # a server that answers the bare probability
        score = float(answer.prediction)
    except ValueError:
        return None
    return (score, True) if 0 <= score <= 1 else None
