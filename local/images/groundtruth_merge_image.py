"""Stands in for SageMaker Model Monitor's merger: captured answers with what was right.

Run without arguments, by the environment of its job: every captured line below `dataset_source`
whose `inferenceId`, else `eventId`, a line of ground truth below `ground_truth_source` names, goes
to the same place below `output_path`, with its `groundTruthData`. Of several labels the one that
was collected last counts. A capture without a label, or a label without a capture, waits.
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


class MergeError(Exception):
    """What makes the job fail, in words for its exit message."""


def lines_of(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every JSON line below a folder with its file, in the order of the hours."""
    for path in sorted(folder.rglob("*.jsonl")):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                line = json.loads(text)
                line["eventMetadata"].get("eventId")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise MergeError(f"{path.name}, line {number} is no event: {error!r}") from None
            yield path, line


def merge(dataset: Path, truth: Path, output: Path) -> int:
    """Write the merged lines; how many there are."""
    labels = {
        str(line["eventMetadata"].get("eventId")): line["groundTruthData"]
        for _, line in lines_of(truth)
        if "groundTruthData" in line
    }
    merged: dict[Path, list[str]] = {}
    for path, line in lines_of(dataset):
        about = line["eventMetadata"]
        label = labels.get(str(about.get("inferenceId") or about.get("eventId")))
        if label is not None:
            place = output / path.relative_to(dataset)
            merged.setdefault(place, []).append(json.dumps({**line, "groundTruthData": label}))
    for place, found in merged.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join(found) + "\n", encoding="utf-8")
    return sum(map(len, merged.values()))


def here(value: str) -> Path:
    """A path of the container's, where it lies on a machine that gives jobs no /opt/ml."""
    return ML / value.removeprefix("/opt/ml/")


def main() -> int:
    """Merge; 0, or 1 with the reason in the log and in the job's exit message."""
    names = ("dataset_source", "ground_truth_source", "output_path")
    code = 0
    try:
        count = merge(*(here(os.environ[name]) for name in names))
        message = f"Completed: {count} captured requests have ground truth."
    except MergeError as error:
        message, code = f"Error: {error}", 1
    sys.stdout.write(f"Model Monitor's merger (local stand-in): {message}\n")
    place = ML / "output" / "message"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(message, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
