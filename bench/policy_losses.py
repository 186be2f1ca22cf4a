"""Every model's loss on every row of a stream, computed once and kept: what replays look up.

Model i is trained on the windows up to and with i, without the holdout (a fifth of the rows, by
hash, kept out of every training). So it can be held against another on rows that neither has
learnt from, also within the windows that one of them was trained on. A label's loss is 0 or 1
for classes, and for numbers the absolute error ÷ that of always answering the whole
stream's median: a unit, so that errors of all streams are of one scale and alpha means the same.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.common import ROOT
from bench.policy_streams import SEED, WARM_UP, Array, Stream

CACHE = ROOT / ".local" / "bench-policy"
HOLDOUT = 0.2
#: Part of the cache's key: a change of what is computed below must change it.
VERSION = 1


@dataclass(frozen=True)
class Losses:
    """`rows[i - first, r]`: the loss of the model trained up to window i on row r."""

    stream: Stream
    first: int
    rows: Array
    holdout: Array

    def of(self, model: int, window: int) -> Array:
        """A model's losses on a window's rows, those in its training included."""
        return self.rows[model - self.first, self.stream.rows(window, window + 1)]

    def fair(self, model: int, window: int) -> Array:
        """The losses on the rows of a window that no model was trained on."""
        held: Array = self.holdout[self.stream.rows(window, window + 1)]
        return self.of(model, window)[held]

    @cached_property
    def errors(self) -> Array:
        """Mean loss by model and window."""
        return self.means()

    def means(self, keep: Array | None = None) -> Array:
        """Mean loss by model and window, of the rows to keep alone."""
        windows, size = self.stream.windows, self.stream.window
        cube = self.rows[:, : windows * size].reshape(len(self.rows), windows, size)
        if keep is None:
            return cube.mean(axis=2, dtype=float)
        mask = keep[: windows * size].reshape(windows, size)
        sums = np.einsum("iws,ws->iw", cube.astype(float), mask.astype(float))
        return sums / np.maximum(mask.sum(axis=1), 1)


def losses(stream: Stream, span: int | None) -> Losses:
    """The stream's losses, from the cache where they are; `span`: windows to train on, or all."""
    path = CACHE / f"{stream.name}-{_key(stream, span)}.npz"
    random = np.random.default_rng(SEED)
    holdout = random.random(len(stream.labels)) < HOLDOUT
    first = WARM_UP - 1
    if path.is_file():
        with np.load(path) as kept:
            return Losses(stream, first, kept["rows"], holdout)
    rows = np.stack([_row_losses(stream, i, span, holdout) for i in range(first, stream.windows)])
    CACHE.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(beside, rows=rows)
    beside.replace(path)
    return Losses(stream, first, rows, holdout)


def _key(stream: Stream, span: int | None) -> str:
    text = f"{VERSION} {span} {stream.window} {stream.problem} {HOLDOUT} {WARM_UP} {SEED}"
    if stream.problem == "regression":
        text += f" {_scale(stream)}"
    found = hashlib.sha256(text.encode())
    found.update(np.ascontiguousarray(stream.labels).tobytes())
    for name in stream.features.columns:
        found.update(str(name).encode())
        found.update(np.ascontiguousarray(stream.features[name].to_numpy(float)).tobytes())
    return found.hexdigest()[:16]


def _row_losses(stream: Stream, window: int, span: int | None, holdout: Array) -> Array:
    import lightgbm  # noqa: PLC0415 - in the jobs' environment only

    begin = 0 if span is None else max(0, window + 1 - span)
    rows = stream.rows(begin, window + 1)
    keep = ~holdout[rows]
    settings: dict[str, Any] = {
        "n_estimators": 60,
        "num_leaves": 15,
        "min_child_samples": 10,
        "n_jobs": 1,
        "random_state": SEED,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    kind = lightgbm.LGBMClassifier if stream.problem == "binary" else lightgbm.LGBMRegressor
    model = kind(**settings)
    labels = stream.labels[rows][keep]
    if stream.problem == "binary" and len(np.unique(labels)) == 1:
        return (stream.labels != labels[0]).astype(np.float32)
    model.fit(stream.features.iloc[rows][keep], labels)
    predicted = np.asarray(model.predict(stream.features))
    if stream.problem == "binary":
        return (predicted != stream.labels).astype(np.float32)
    return (np.abs(predicted - stream.labels) / _scale(stream)).astype(np.float32)


def _scale(stream: Stream) -> float:
    """The mean loss of the best constant answer."""
    return float(np.mean(np.abs(stream.labels - np.median(stream.labels)))) or 1.0
