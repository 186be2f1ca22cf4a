"""The ways to attribute a project's scores to its features, and what each is held to.

The project's own `explain` comes before all others, then exact TreeSHAP of a LightGBM or XGBoost
model, then a linear model's coefficients, then sampling. Whatever the way, a row's values and the
expected value must sum to the score that the project's `predict` gives the row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from jobs.built_in import BuiltInModel
from jobs.contract import Project
from jobs.engine.attributions import (
    Array,
    Attributions,
    Walks,
    evaluations,
    from_contributions,
    linear,
    pairs_of,
    sample,
)
from jobs.failures import ModelError

EXPECTED = "expected_value"
LOG_ODDS, PROBABILITY, LABEL, LOG_LABEL = "log-odds", "probability", "label", "log of the label"
# Relative to the score (or 1): XGBoost's contributions are float32, all others far nearer.
TOLERANCE = 1e-4
# A score of 0 or 1 has no finite log-odds; beyond these nobody can tell the difference.
SMALLEST_SHARE = 1e-9
# Sampling: background rows, pairs of walks a row, and put-together rows that are scored in all.
BACKGROUND = 32
PAIRS = 32
MOST_EVALUATIONS = 1_000_000


@dataclass(frozen=True)
class Explained:
    """Attributions of some rows by a `method`, in `units`.

    `error` is the largest difference between a sum and its score, in the units; `worst` is the
    row where it is largest relative to the score, and `within` whether that is tolerable.
    """

    attributions: Attributions
    features: tuple[str, ...]
    method: str
    units: str
    error: float
    worst: int
    within: bool
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class Explainer:
    """Explains some prepared rows of one model against background rows.

    `names` tell the rows in errors (their identities).
    """

    def __init__(
        self,
        project: Project,
        model: Any,
        rows: pd.DataFrame,
        background: pd.DataFrame,
        names: Sequence[str],
    ) -> None:
        self.project = project
        self.model = model
        self.rows = rows.reset_index(drop=True)
        self.background = background.reset_index(drop=True)
        self.names = names
        self.features = tuple(map(str, rows.columns))
        self.scores = project.predict(model, self.rows)
        self.outputs = 1 if self.scores.ndim == 1 else self.scores.shape[1]

    def explain(self, seed: int = 0) -> Explained:
        """Explain in the best way there is.

        An exact way is left for sampling when it does not add up: a project may do more to a
        score than its model does. Raises `ModelError` naming the model and the row when the
        project's own values, or sampled ones, do not.
        """
        if self.project.explains_itself:
            found = self._measured(*self._of_frame(self.model), "own")
            return self._held(found, "explain")
        notes = []
        ways = [("tree", self._tree), ("linear", self._linear)]
        if isinstance(self.model, BuiltInModel):
            ways = [(self.model.method, self._built_in)]
        for method, way in ways:
            try:
                values = way()
            except (ModelError, ValueError) as error:
                notes.append(f"{method} values cannot be had: {error}")
                continue
            if values is None:
                continue
            found = self._measured(values, self.features, method)
            if found.within:
                return found
            notes.append(
                f"the {method} values of the model are off what predict() gives by "
                f"{found.error:.3g} at row {self.names[found.worst]}, so values were sampled"
            )
        return self._sampled(seed, notes)

    def _of_frame(self, model: Any) -> tuple[Attributions, tuple[str, ...]]:
        """The values of `Project.explain`: the project's own, or LightGBM's TreeSHAP."""
        frame = self.project.explain(model, self.rows)
        width = len(frame.columns) // self.outputs
        names = [str(name) for name in frame.columns[:width]]
        if self.outputs > 1:
            names = [name.rpartition(":")[0] for name in names]
        if len(frame) != len(self.rows) or names[-1:] != [EXPECTED]:
            raise self._no_values(f"{len(frame)} rows of {', '.join(map(str, frame.columns))}")
        try:
            table = frame.to_numpy(dtype=np.float64)
            values = from_contributions(table, self.outputs)
        except (TypeError, ValueError) as error:
            raise self._no_values(str(error)) from None
        if not np.isfinite(table).all():
            raise self._no_values("a value that is not a finite number")
        return values, tuple(names[:-1])

    def _no_values(self, words: str) -> ModelError:
        return ModelError(
            f"explain() in model.py of {self.project.name} returned {words}; for every row it "
            f"must give one number for each feature and then {EXPECTED}, class by class "
            "(feature:0, …) for a multiclass problem."
        )

    def _built_in(self) -> Attributions | None:
        """Exact values of a model that one of AWS's algorithms trained."""
        model: BuiltInModel = self.model
        return model.explain(self.rows, self.background)

    def _tree(self) -> Attributions | None:
        """Exact TreeSHAP values of a LightGBM or XGBoost model, or None for another."""
        # Who has such a model has imported its library; nobody else should wait for it.
        lightgbm, xgboost = sys.modules.get("lightgbm"), sys.modules.get("xgboost")
        model = self.model
        if lightgbm is not None:
            booster = model.booster_ if isinstance(model, lightgbm.LGBMModel) else model
            if isinstance(booster, lightgbm.Booster):
                return self._of_frame(booster)[0]
        if xgboost is not None:
            booster = model.get_booster() if isinstance(model, xgboost.XGBModel) else model
            if isinstance(booster, xgboost.Booster):
                matrix = xgboost.DMatrix(self.rows, enable_categorical=True)
                raw = booster.predict(matrix, pred_contribs=True, strict_shape=True)
                return from_contributions(np.asarray(raw, dtype=np.float64), self.outputs)
        return None

    def _linear(self) -> Attributions | None:
        """Exact values of a linear model whose project has `coefficients(model)`, or None.

        The function answers `{"intercept": x, "coefficients": {feature: w}}`, in log-odds for
        classes; for a multiclass problem each is a list with one number a class.
        """
        given = self.project.coefficients(self.model)
        if given is None:
            return None
        nothing = np.zeros(self.outputs)
        try:
            weights = {
                str(name): nothing + np.asarray(value, dtype=np.float64)
                for name, value in given["coefficients"].items()
            }
            intercept = nothing + np.asarray(given["intercept"], dtype=np.float64)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"coefficients() answers no linear model: {error!r}") from None
        unknown = sorted(set(weights) - set(self.features))
        if unknown:
            raise ModelError(f"coefficients() names no prepared feature: {', '.join(unknown)}")
        table = np.stack([weights.get(name, nothing) for name in self.features])
        return linear(
            table,
            intercept,
            self._matrix(self.rows, weights),
            self._matrix(self.background, weights),
        )

    def _matrix(self, frame: pd.DataFrame, used: dict[str, Array]) -> Array:
        """The used features as numbers; the others, which may be no numbers, as zeros."""
        nothing = np.zeros(len(frame))
        return np.stack(
            [
                frame[name].to_numpy(dtype=np.float64) if name in used else nothing
                for name in self.features
            ],
            axis=1,
        )

    def _sampled(self, seed: int, notes: list[str]) -> Explained:
        """Sampled Shapley values of what the project predicts, of as many rows as affordable."""
        self._check_alone()
        pairs = pairs_of(len(self.background), PAIRS)
        most = max(MOST_EVALUATIONS // evaluations(len(self.features), pairs), 1)
        rows = self.rows.iloc[:most]
        if len(rows) < len(self.rows):
            notes.append(f"sampling {len(self.rows):,} rows would take too long; {most:,} were")
        both = pd.concat([rows, self.background], ignore_index=True)
        columns = {name: both[name].array for name in both.columns}

        def score(mask: Array, row: Array, other: Array) -> Array:
            places = np.where(mask, row[:, None], len(rows) + other[:, None])
            made = {name: a.take(places[:, i]) for i, (name, a) in enumerate(columns.items())}
            return self.project.predict(self.model, pd.DataFrame(made)).reshape(len(mask), -1)

        task = Walks(score, len(rows), len(self.background), len(self.features))
        values = sample(task, pairs=pairs, seed=seed)
        found = self._measured(values, self.features, "sampled")
        facts = {"background_rows": len(self.background), "pairs": pairs}
        return self._held(replace(found, notes=tuple(notes), facts=facts), "predict")

    def _check_alone(self) -> None:
        """Raise `ModelError` when a row's score depends on the rows beside it: sampled values
        would add up, and mean nothing."""
        alone = np.atleast_1d(self.project.predict(self.model, self.rows.iloc[:1])[0])
        beside = np.atleast_1d(self.scores[0])
        if np.abs(alone - beside).max() > TOLERANCE * max(np.abs(beside).max(), 1):
            raise ModelError(
                f"the scores of {self.project.name} cannot be explained: predict() in model.py "
                f"gives row {self.names[0]} {alone.tolist()} alone and {beside.tolist()} beside "
                f"{len(self.rows) - 1:,} others. Correct it; every row must be scored by itself."
            )

    def _measured(self, values: Attributions, features: tuple[str, ...], method: str) -> Explained:
        """Compare the sums with the scores, in the units in which they agree best.

        Sampled values are of the scores themselves.
        """
        found = []
        for units, sums, wanted, blur in self._targets(values.sums):
            off = np.abs(sums - wanted)
            allowed = TOLERANCE * np.maximum(np.abs(wanted), 1) + blur
            worst = int((off / allowed).max(axis=1).argmax())
            within = bool((off <= allowed).all())
            found.append(
                Explained(values, features, method, units, float(off.max()), worst, within)
            )
        if method == "sampled":
            return found[0]
        return min(found, key=lambda each: (not each.within, each.error))

    def _targets(self, sums: Array) -> Iterator[tuple[str, Array, Array, Array | float]]:
        """What values may sum to: units, the sums as compared, the scores in those units, and how
        far a rounding of the scores alone can move those."""
        scores = self.scores[: len(sums)].reshape(len(sums), -1)
        problem = self.project.problem
        # XGBoost's probabilities are float32: near 1 they hold few digits of the log-odds.
        single = np.array_equal(scores, scores.astype(np.float32))
        rounding = 4 * float(np.finfo(np.float32 if single else np.float64).eps)
        yield (LABEL if problem == "regression" else PROBABILITY), sums, scores, 0.0
        if problem == "binary":
            limit = _logit(np.ones(1))
            kept = np.clip(scores, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
            blur = rounding / (kept * (1 - kept))
            yield LOG_ODDS, np.clip(sums, -limit, limit), _logit(scores), blur
        elif problem == "multiclass":
            # Scores tell log-odds but for one number a row, so both sides become log-shares.
            high = sums.max(axis=1, keepdims=True)
            shares = sums - high - np.log(np.exp(sums - high).sum(axis=1, keepdims=True))
            kept = np.clip(scores, SMALLEST_SHARE, 1)
            yield (
                LOG_ODDS,
                np.maximum(shares, np.log(SMALLEST_SHARE)),
                np.log(kept),
                rounding / kept,
            )
        elif (scores > 0).all():
            yield LOG_LABEL, sums, np.log(scores), rounding

    def _held(self, found: Explained, function: str) -> Explained:
        """Raise `ModelError` for what does not add up."""
        if found.within:
            return found
        sums = ", ".join(f"{value:.6g}" for value in found.attributions.sums[found.worst])
        wanted = ", ".join(f"{value:.6g}" for value in np.atleast_1d(self.scores[found.worst]))
        way_out = f"Correct {function}() in model.py" + (
            ", or take it out to have the default." if function == "explain" else "."
        )
        raise ModelError(
            f"the explanations of {self.project.name} do not add up: at row "
            f"{self.names[found.worst]} the values and the expected value sum to {sums}, where "
            f"predict() gives {wanted} (off by {found.error:.3g} in {found.units}). {way_out}"
        )


def _logit(shares: Array) -> Array:
    kept = np.clip(shares, SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return np.asarray(np.log(kept) - np.log1p(-kept))
