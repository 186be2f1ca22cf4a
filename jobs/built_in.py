"""Models that AWS's own algorithms trained: their artifacts read, scored and explained by us.

XGBoost's container writes one file, `xgboost-model`, in its library's format (container 1.3 and
later). The linear learner's writes `model_algo-1`, a zip with an MXNet module whose only layer
holds the weights, for the columns as they come: the scaling by which it learned is worked into
them. Both read the tables of `jobs.encoding`.
"""

from __future__ import annotations

import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jobs.casting import TrainingSchema, read_schema
from jobs.encoding import Array, EncodedColumn, by_feature, encode
from jobs.engine.attributions import Attributions, from_contributions, linear
from jobs.engine.ndarray_file import read_arrays
from jobs.failures import ModelError

XGBOOST_FILE = "xgboost-model"
LINEAR_FILE = "model_algo-1"
PARAMETERS_FILE = "mx-mod-0000.params"
MOST_BYTES = 1 << 28


class BuiltInModel(ABC):
    """A loaded model of one of AWS's algorithms."""

    #: How its attributions are told in an analysis.
    method: str

    def __init__(self, columns: Sequence[EncodedColumn], outputs: int) -> None:
        self.columns = columns
        self.outputs = outputs

    @abstractmethod
    def scores(self, table: Array) -> Array:
        """The scores of encoded rows."""

    @abstractmethod
    def attributions(self, table: Array, background: Array) -> Attributions:
        """What each encoded column adds, exactly, in the units in which the model adds up."""

    def predict(self, frame: pd.DataFrame) -> Array:
        """The scores of prepared rows, as `Project.predict` wants them."""
        return self.scores(encode(frame, self.columns))

    def explain(self, frame: pd.DataFrame, background: pd.DataFrame) -> Attributions:
        """What each prepared feature adds to each score."""
        table, others = encode(frame, self.columns), encode(background, self.columns)
        found = self.attributions(table, others)
        features = [str(name) for name in frame.columns]
        return Attributions(by_feature(found.values, self.columns, features), found.expected)


class XGBoostModel(BuiltInModel):
    """A booster: probabilities of its own, exact TreeSHAP values in log-odds."""

    method = "tree"

    def __init__(self, booster: Any, columns: Sequence[EncodedColumn], outputs: int) -> None:
        super().__init__(columns, outputs)
        self.booster = booster
        # A training that stopped early keeps the rounds after its best one in the file.
        best = booster.attr("best_iteration")
        self.rounds = (0, int(best) + 1) if best is not None else (0, 0)

    def scores(self, table: Array) -> Array:
        """Probabilities, or values."""
        return np.asarray(
            self.booster.predict(self._matrix(table), iteration_range=self.rounds), float
        )

    def attributions(self, table: Array, background: Array) -> Attributions:
        """Against the rows that the trees were grown on; a background has no say."""
        raw = self.booster.predict(
            self._matrix(table),
            pred_contribs=True,
            strict_shape=True,
            iteration_range=self.rounds,
        )
        return from_contributions(np.asarray(raw, dtype=np.float64), self.outputs)

    def _matrix(self, table: Array) -> Any:
        import xgboost  # noqa: PLC0415  # only who has such a model waits for its library

        # Columns at the end that never had a value are none of the booster's.
        return xgboost.DMatrix(table[:, : self.booster.num_features()], missing=np.nan)


class LinearModel(BuiltInModel):
    """Weights for each column, and an intercept; for each class where there are several."""

    method = "linear"

    def __init__(
        self, weights: Array, intercept: Array, columns: Sequence[EncodedColumn], problem: str
    ) -> None:
        super().__init__(columns, len(intercept))
        self.weights, self.intercept, self.problem = weights, intercept, problem

    def scores(self, table: Array) -> Array:
        """The sums, squeezed into probabilities for classes."""
        sums = table.astype(np.float64) @ self.weights.T + self.intercept
        if self.problem == "binary":
            return np.asarray(0.5 * (1 + np.tanh(0.5 * sums[:, 0])))
        if self.problem == "multiclass":
            powers = np.exp(sums - sums.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        return np.asarray(sums[:, 0])

    def attributions(self, table: Array, background: Array) -> Attributions:
        """Against the mean of the background."""
        return linear(
            self.weights.T,
            self.intercept,
            table.astype(np.float64),
            background.astype(np.float64),
        )


def load_built_in(algorithm: str, folder: Path, project: str) -> BuiltInModel:
    """The model in an unpacked archive, which also holds its schema.

    Raises `ModelError` when the artifact is not what the algorithm writes, or damaged.
    """
    schema = read_schema(folder / "schema.json")
    if not schema.encoding:
        raise ModelError(f"the model of {project} has a schema without the encoding of its columns")
    read = _read_xgboost if algorithm == "xgboost" else _read_linear
    return read(folder, schema, project)


def _read_xgboost(folder: Path, schema: TrainingSchema, project: str) -> BuiltInModel:
    import xgboost  # noqa: PLC0415  # only who has such a model waits for its library

    path = folder / XGBOOST_FILE
    _check_there(path, folder, project)
    try:
        booster = xgboost.Booster(model_file=bytearray(path.read_bytes()))
    except (xgboost.core.XGBoostError, ValueError, UnicodeDecodeError) as error:
        raise _damaged(XGBOOST_FILE, project, str(error)) from None
    outputs = len(schema.classes) if schema.problem == "multiclass" else 1
    if booster.num_features() > len(schema.encoding):
        raise _damaged(
            XGBOOST_FILE,
            project,
            f"it has {booster.num_features()} columns, the schema {len(schema.encoding)}",
        )
    return XGBoostModel(booster, schema.encoding, outputs)


def _read_linear(folder: Path, schema: TrainingSchema, project: str) -> BuiltInModel:
    path = folder / LINEAR_FILE
    _check_there(path, folder, project)
    try:
        weights, intercept = _linear_weights(path.read_bytes(), len(schema.encoding))
    # The fourth is zipfile's answer to a compression that it does not know.
    except (ValueError, KeyError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _damaged(LINEAR_FILE, project, str(error)) from None
    outputs = len(schema.classes) if schema.problem == "multiclass" else 1
    if len(intercept) != outputs:
        words = f"it has weights for {len(intercept)} outputs, the problem {outputs}"
        raise _damaged(LINEAR_FILE, project, words)
    return LinearModel(weights, intercept, schema.encoding, schema.problem)


def _linear_weights(body: bytes, columns: int) -> tuple[Array, Array]:
    """The weights (outputs, columns) and intercepts in the module; raises ValueError."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        if archive.getinfo(PARAMETERS_FILE).file_size > MOST_BYTES:
            raise ValueError(f"{PARAMETERS_FILE} has more than {MOST_BYTES >> 20} MiB")
        arrays = read_arrays(archive.read(PARAMETERS_FILE))
    weights = [array for name, array in arrays.items() if name.endswith("_weight")]
    biases = [array for name, array in arrays.items() if name.endswith("_bias")]
    if len(weights) != 1 or len(biases) > 1 or len(weights) + len(biases) != len(arrays):
        raise ValueError(f"no single linear layer: its arrays are {', '.join(sorted(arrays))}")
    table = np.asarray(weights[0], dtype=np.float64)
    if table.size % columns:
        raise ValueError(f"it has weights of shape {table.shape} for {columns} columns")
    outputs = table.size // columns
    table = table.T if table.shape == (columns, outputs) != (outputs, columns) else table
    table = table.reshape(outputs, columns)
    intercept = np.zeros(outputs) if not biases else np.asarray(biases[0], float).reshape(-1)
    if len(intercept) != outputs or not (np.isfinite(table).all() and np.isfinite(intercept).all()):
        raise ValueError("its weights are not finite, or do not fit its intercepts")
    return table, intercept


def _check_there(path: Path, folder: Path, project: str) -> None:
    if not path.is_file():
        held = ", ".join(sorted(each.name for each in folder.iterdir())) or "nothing"
        raise ModelError(f"the model archive of {project} holds no {path.name}, but {held}")


def _damaged(name: str, project: str, why: str) -> ModelError:
    words = " ".join(why.split())[:300]
    return ModelError(
        f"{name} in the model archive of {project} cannot be read: {words}. Train it again with "
        "`perennial run retry`, and --set reuse=0s if the training was reused."
    )
