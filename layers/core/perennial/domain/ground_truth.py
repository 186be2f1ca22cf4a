"""Delayed labels in the form that Model Monitor reads: one line a request, by the request's id.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from perennial.domain.captured import BadLine, read_labels
from perennial.domain.text import lines_of, printable

#: How many mistakes a refusal names; the rest is counted.
MOST_MISTAKES = 5
LONGEST_ID = 1000


class LabelsInvalid(ValueError):
    """Labels that cannot be sent; the message names the lines."""


def read_label_file(text: str, *, allowed: Sequence[str] = ()) -> list[tuple[str, tuple[str, ...]]]:
    """The labels in a file, each as (id of the request, its labels by row).

    CSV of two columns, the id and one label (a header `id,label` may stand above them; several
    rows of one id are its labels in order), or JSON lines in AWS's form. With `allowed`, other
    labels are refused. Raises `LabelsInvalid` with every mistake: nothing is sent by halves.
    """
    lines = lines_of(text)
    first = next((line for line in lines if line.strip()), "")
    mistakes: list[str] = []
    found = _json_lines(lines, mistakes) if first.lstrip().startswith("{") else _csv(text, mistakes)
    for event, labels in found.items():
        mistakes += [
            f"id {printable(event)[:60]}: {printable(label)[:60]!r} is none of {', '.join(allowed)}"
            for label in labels
            if allowed and label not in allowed
        ]
    if not found and not mistakes:
        mistakes.append("there is no label in it")
    if mistakes:
        more = len(mistakes) - MOST_MISTAKES
        told = mistakes[:MOST_MISTAKES] + ([f"and {more:,} more"] if more > 0 else [])
        raise LabelsInvalid("; ".join(told))
    return [(event, tuple(labels)) for event, labels in found.items()]


def ground_truth_lines(labels: Iterable[tuple[str, Sequence[str]]]) -> str:
    """The labels as ground truth in AWS's form, as `read_labels` reads them back."""
    lines = []
    for event, values in labels:
        rows = io.StringIO()
        csv.writer(rows, lineterminator="\n").writerows([value] for value in values)
        document = {
            "groundTruthData": {"data": rows.getvalue().rstrip("\n"), "encoding": "CSV"},
            "eventMetadata": {"eventId": event},
            "eventVersion": "0",
        }
        lines.append(json.dumps(document, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def labels_key(prefix: str, collected_ms: int, name: str) -> str:
    """Where a file of labels lies: by the hour (UTC) in which they were collected."""
    moment = datetime.fromtimestamp(collected_ms / 1000, tz=timezone.utc)
    return f"{prefix}{moment:%Y/%m/%d/%H}/{name}.jsonl"


def _json_lines(lines: Sequence[str], mistakes: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event, labels = read_labels(line)
        except BadLine as error:
            mistakes.append(f"line {number}: {error}")
        else:
            found[event] = list(labels)
    return found


def _csv(text: str, mistakes: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        mistakes.append(f"it is no CSV: {error}")
        return found
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and [cell.lower() for cell in cells] == ["id", "label"]):
            continue
        if len(cells) != 2 or not all(cells) or len(cells[0]) > LONGEST_ID:
            mistakes.append(f"line {number}: expected an id and a label, like order-77,>50K")
            continue
        found.setdefault(cells[0], []).append(cells[1])
    return found
