"""What AWS's algorithm containers share: hyperparameters, channels, and how they fail.

The files are SageMaker's container contract below /opt/ml; a machine without private mounts says
in SAGEMAKER_BASE_DIR where they are. Failures are told as AWS's containers tell them: a
`ClientError` is the user's to mend, an `AlgorithmError` is the algorithm's.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from perennial.domain.algorithm_parameters import PARAMETERS, Parameter

Array = np.ndarray[Any, Any]
IGNORED = ("_tuning_objective_metric", "_kfold")
CSV, LIBSVM = "text/csv", "text/libsvm"
#: Their names, so that the log tells whose metrics these are.
CLIENT_EXIT, ALGORITHM_EXIT = 2, 1


class ClientError(Exception):
    """Hyperparameters or data that the algorithm cannot work with."""


@dataclass(frozen=True)
class Rows:
    """The rows of one channel: labels, weights (None: all alike) and values, NaN where none is."""

    labels: Array
    values: Array
    weights: Array | None = None


def base() -> Path:
    """Where /opt/ml is."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def run(train: Callable[[], None]) -> int:
    """Train, and leave AWS's words in the failure file if that fails; the exit code."""
    try:
        train()
    except ClientError as error:
        return _failed(f"ClientError: {error}", CLIENT_EXIT)
    except Exception as error:  # as the containers do: every fault becomes a failure reason
        return _failed(f"AlgorithmError: {type(error).__name__}: {error}", ALGORITHM_EXIT)
    return 0


def _failed(text: str, code: int) -> int:
    sys.stderr.write(f"ERROR: {text}\n")
    path = base() / "output" / "failure"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return code


def hyperparameters(algorithm: str, required: tuple[str, ...]) -> dict[str, str]:
    """The job's hyperparameters, each checked; raises `ClientError` in AWS's words."""
    found: dict[str, str] = json.loads(
        (base() / "input" / "config" / "hyperparameters.json").read_text(encoding="utf-8")
    )
    for name in required:
        if name not in found:
            raise ClientError(f"Missing required hyperparameter: {name}")
    known = PARAMETERS[algorithm]
    for name, text in found.items():
        if name in IGNORED:
            continue
        if name not in known:
            raise ClientError(f"Extraneous hyperparameter found: {name}")
        _check(name, text, known[name])
    return found


def _check(name: str, text: str, parameter: Parameter) -> None:
    if parameter.accepts(text):
        return
    if parameter.kind == "text":
        choices = ", ".join(parameter.choices)
        raise ClientError(f"Hyperparameter {name}: value {text} not in range {{{choices}}}")
    try:
        float(text)
    except ValueError:
        raise ClientError(f"Hyperparameter {name}: could not parse value") from None
    low, high = parameter.low, parameter.high
    raise ClientError(f"Hyperparameter {name}: value {text} not in range [{low:g}, {high:g}]")


def channels() -> Mapping[str, Mapping[str, str]]:
    """The job's channels with their content types."""
    path = base() / "input" / "config" / "inputdataconfig.json"
    found: Mapping[str, Mapping[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read_channel(name: str, *, kinds: tuple[str, ...], default: str, weighted: bool) -> Rows | None:
    """The rows of a channel, or None if the job has no such channel.

    `weighted`: the column behind the label is each row's weight. Raises `ClientError` when there
    are no rows, or they cannot be read.
    """
    config = channels().get(name)
    if config is None:
        return None
    kind = config.get("ContentType", default).split(";")[0].strip().lower()
    if kind not in kinds:
        raise ClientError(
            f"Content type {kind} is not supported. Supported content types: {', '.join(kinds)}"
        )
    folder = base() / "input" / "data" / name
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in files if path.stat().st_size]
    if not files:
        raise ClientError(f"No data found in channel {name}. Please check that it has files")
    if kind == LIBSVM:
        return _read_libsvm(name, files)
    return _read_csv(name, files, weighted=weighted)


def _read_csv(name: str, files: list[Path], *, weighted: bool) -> Rows:
    tables = []
    for path in files:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        try:
            tables.append(
                np.array([[_number(cell) for cell in line.split(",")] for line in lines], float)
            )
        except ValueError as error:
            # A header or text is the usual reason, and the container's answer to both.
            raise ClientError(
                f"Unable to read data channel '{name}'. Requested content-type is '{CSV}'. Please "
                f"verify the data matches the requested content-type. (caused by {error})"
            ) from None
    widths = {table.shape[1] for table in tables if table.ndim == 2}
    if len(widths) != 1:
        raise ClientError(f"The files of channel '{name}' differ in their number of columns")
    table = np.concatenate(tables)
    first = 2 if weighted else 1
    if table.shape[1] <= first:
        raise ClientError(f"The rows of channel '{name}' have no features")
    return Rows(table[:, 0], table[:, first:], table[:, 1] if weighted else None)


def _number(cell: str) -> float:
    text = cell.strip()
    return float(text) if text else float("nan")


def _read_libsvm(name: str, files: list[Path]) -> Rows:
    labels: list[float] = []
    weights: list[float] = []
    rows: list[list[tuple[int, float]]] = []
    width = 0
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                head, *cells = line.split()
                label, _, weight = head.partition(":")
                row = [(int(i), float(v)) for i, _, v in (cell.partition(":") for cell in cells)]
                labels.append(float(label))
                weights.append(float(weight) if weight else 1.0)
            except ValueError as error:
                raise ClientError(
                    f"Unable to read data channel '{name}'. Requested content-type is "
                    f"'{LIBSVM}'. Line {number} of {path.name}: {error}"
                ) from None
            rows.append(row)
            width = max(width, *(i + 1 for i, _ in row), 0) if row else width
    # What a line does not name is a missing value.
    values = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        for i, value in row:
            values[place, i] = value
    counted = np.array(weights)
    return Rows(np.array(labels), values, None if (counted == 1).all() else counted)


def say(line: str) -> None:
    """Print a line of the log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
