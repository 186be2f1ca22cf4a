"""Linear models by stochastic gradient descent, many at a time, as AWS's linear learner trains.

Several models with other learning rates and penalties learn side by side from the same batches
(`num_models`); the one with the least loss on the validation rows is kept. Features, and the label
of a regression, are brought to mean 0 and deviation 1 first; the weights that are answered are for
the columns as they came. In numpy; see "How linear learner works" in the developer guide.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SMALLEST = 1e-12


@dataclass(frozen=True)
class Plan:
    """How to train. `rates`, `l1` and `wd` have one entry a model."""

    loss: str
    outputs: int
    rates: Array
    l1: Array
    wd: Array
    optimizer: str = "adam"
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epochs: int = 15
    batch: int = 1000
    use_bias: bool = True
    normalize_data: bool = True
    normalize_label: bool = False
    positive_weight: float = 1.0
    class_weights: Array | None = None
    margin: float = 1.0
    insensitivity: float = 0.01
    huber_delta: float = 1.0
    quantile: float = 0.5
    decay: tuple[int, float, float] | None = None
    patience: int = 3
    tolerance: float = 0.001
    init: tuple[str, float, float] = ("uniform", 0.07, 0.01)
    init_bias: float = 0.0
    seed: int = 0

    @property
    def models(self) -> int:
        """How many models learn side by side."""
        return len(self.rates)


@dataclass
class Scaling:
    """Means and deviations by which features and labels are scaled."""

    mean: Array
    deviation: Array
    label_mean: float = 0.0
    label_deviation: float = 1.0

    @classmethod
    def of(cls, plan: Plan, values: Array, labels: Array) -> "Scaling":
        """Learn them from rows; what does not vary is left as it is."""
        width = values.shape[1]
        found = cls(np.zeros(width), np.ones(width))
        if plan.normalize_data:
            deviation = values.std(axis=0)
            # Without an intercept a shift could not be undone.
            found.mean = values.mean(axis=0) if plan.use_bias else np.zeros(width)
            found.deviation = np.where(deviation > SMALLEST, deviation, 1.0)
        if plan.normalize_label:
            deviation = float(labels.std())
            found.label_mean = float(labels.mean()) if plan.use_bias else 0.0
            found.label_deviation = deviation if deviation > SMALLEST else 1.0
        return found

    def undone(self, weights: Array, bias: Array) -> tuple[Array, Array]:
        """Weights (outputs, columns) and intercepts for rows that nobody scales."""
        table = weights / self.deviation * self.label_deviation
        shift = bias * self.label_deviation + self.label_mean - table @ self.mean
        return table, shift


@dataclass
class Fitted:
    """The best model: for columns as they come, with the losses of its epochs."""

    weights: Array
    bias: Array
    chosen: dict[str, float]
    train_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)


#: Told after each epoch: its number, the best loss on train and, if there is one, on validation.
Report = Callable[[int, float, float | None], None]


class Trainer:
    """The models, their weights (models, columns, outputs), and the state of the optimizer."""

    def __init__(self, plan: Plan, values: Array, labels: Array) -> None:
        self.plan = plan
        self.scaling = Scaling.of(plan, values, labels)
        self.random = np.random.default_rng(plan.seed)
        shape = (plan.models, values.shape[1], plan.outputs)
        method, scale, sigma = plan.init
        # All models begin alike, so that only their hyperparameters tell them apart.
        drawn = (
            self.random.uniform(-scale, scale, shape[1:])
            if method == "uniform"
            else self.random.normal(0, sigma, shape[1:])
        )
        self.weights = np.repeat(drawn[None], plan.models, axis=0)
        self.bias = np.full((plan.models, plan.outputs), plan.init_bias, dtype=float)
        self.moments = [np.zeros(shape), np.zeros(shape)]
        self.bias_moments = [np.zeros_like(self.bias), np.zeros_like(self.bias)]
        self.steps = 0

    def fit(
        self,
        rows: tuple[Array, Array],
        validation: tuple[Array, Array] | None,
        report: Report,
    ) -> Fitted:
        """Train until the best loss stops falling or the epochs are over."""
        plan = self.plan
        values, labels = self._scaled(*rows)
        watched = self._scaled(*validation) if validation is not None else None
        best, since = np.inf, 0
        kept: Fitted | None = None
        curves: tuple[list[float], list[float]] = ([], [])
        for epoch in range(plan.epochs):
            for chosen in self._batches(len(labels)):
                self._step(values[chosen], labels[chosen])
            losses = self.losses(values, labels)
            judged = losses if watched is None else self.losses(*watched)
            winner = int(np.argmin(np.where(np.isfinite(judged), judged, np.inf)))
            curves[0].append(float(losses[winner]))
            if watched is not None:
                curves[1].append(float(judged[winner]))
            report(epoch, curves[0][-1], curves[1][-1] if watched is not None else None)
            if not np.isfinite(judged[winner]):
                break
            # As the developer guide has it: not better by a share of `tolerance` is no progress.
            since = 0 if judged[winner] < best * (1 - np.sign(best) * plan.tolerance) else since + 1
            if judged[winner] < best or kept is None:
                best = float(judged[winner])
                kept = self._taken(winner)
            if since >= plan.patience:
                break
        if kept is None:
            raise FloatingPointError("every model diverged; use a smaller learning_rate")
        kept.train_losses, kept.validation_losses = curves
        return kept

    def _taken(self, number: int) -> Fitted:
        weights, bias = self.scaling.undone(self.weights[number].T, self.bias[number])
        plan = self.plan
        names = {"learning_rate": plan.rates, "l1": plan.l1, "wd": plan.wd}
        return Fitted(weights, bias, {name: float(of[number]) for name, of in names.items()})

    def _scaled(self, values: Array, labels: Array) -> tuple[Array, Array]:
        found = (values - self.scaling.mean) / self.scaling.deviation
        return found, (labels - self.scaling.label_mean) / self.scaling.label_deviation

    def _batches(self, rows: int) -> Iterator[Array]:
        """Whole batches of a shuffled epoch; the rows beyond the last one sit this epoch out."""
        order = self.random.permutation(rows)
        for start in range(0, rows - self.plan.batch + 1, self.plan.batch):
            yield order[start : start + self.plan.batch]

    def losses(self, values: Array, labels: Array) -> Array:
        """The mean loss of each model, without penalties."""
        with np.errstate(all="ignore"):
            found = loss_of(self.plan, self._sums(values), labels)[0]
        return np.asarray(found)

    def _sums(self, values: Array) -> Array:
        return np.asarray(values @ self.weights + self.bias[:, None, :])

    def _step(self, values: Array, labels: Array) -> None:
        plan = self.plan
        with np.errstate(all="ignore"):
            _, slopes = loss_of(plan, self._sums(values), labels)
            gradient = values.T @ slopes
            gradient += plan.wd[:, None, None] * self.weights
            self.steps += 1
            rates = self._rates()
            self.weights -= self._move(gradient, self.moments, rates[:, None, None])
            if plan.use_bias:
                moved = self._move(slopes.sum(axis=1), self.bias_moments, rates[:, None])
                self.bias -= moved
            # The L1 penalty as a proximal step: small weights become exactly 0.
            shrink = (rates * plan.l1)[:, None, None]
            self.weights = np.sign(self.weights) * np.maximum(np.abs(self.weights) - shrink, 0)

    def _rates(self) -> Array:
        if self.plan.decay is None:
            return self.plan.rates
        step, factor, least = self.plan.decay
        return np.maximum(self.plan.rates * factor ** (self.steps // step), least)

    def _move(self, gradient: Array, moments: list[Array], rates: Array) -> Array:
        """One step of the optimizer."""
        plan = self.plan
        if plan.optimizer == "sgd":
            moments[0] = plan.momentum * moments[0] + gradient
            return np.asarray(rates * moments[0])
        if plan.optimizer == "rmsprop":
            moments[1] = 0.9 * moments[1] + 0.1 * gradient**2
            return np.asarray(rates * gradient / (np.sqrt(moments[1]) + 1e-8))
        moments[0] = plan.beta_1 * moments[0] + (1 - plan.beta_1) * gradient
        moments[1] = plan.beta_2 * moments[1] + (1 - plan.beta_2) * gradient**2
        first = moments[0] / (1 - plan.beta_1**self.steps)
        second = moments[1] / (1 - plan.beta_2**self.steps)
        return np.asarray(rates * first / (np.sqrt(second) + 1e-8))


def loss_of(plan: Plan, sums: Array, labels: Array) -> tuple[Array, Array]:
    """The mean loss of each model on some rows, and its slope for each sum (models, rows, outputs).

    `sums` has the shape (models, rows, outputs).
    """
    weights = row_weights(plan, labels)
    total = weights.sum()
    each, slopes = _LOSSES[plan.loss](plan, sums, labels)
    return (each * weights).sum(axis=1) / total, slopes * (weights / total)[None, :, None]


def row_weights(plan: Plan, labels: Array) -> Array:
    """How much each row counts: positives more than negatives, rare classes more than common."""
    if plan.class_weights is not None:
        return np.asarray(plan.class_weights[labels.astype(int)])
    if plan.loss in ("logistic", "hinge_loss"):
        return np.where(labels > 0.5, plan.positive_weight, 1.0)
    return np.ones(len(labels))


def _logistic(_plan: Plan, sums: Array, labels: Array) -> tuple[Array, Array]:
    score = sums[:, :, 0]
    each = np.logaddexp(0, score) - labels * score
    return each, (0.5 * (1 + np.tanh(0.5 * score)) - labels)[:, :, None]


def _hinge(plan: Plan, sums: Array, labels: Array) -> tuple[Array, Array]:
    sign = 2 * labels - 1
    short = plan.margin - sign * sums[:, :, 0]
    return np.maximum(short, 0), np.where(short > 0, -sign, 0.0)[:, :, None]


def _softmax(_plan: Plan, sums: Array, labels: Array) -> tuple[Array, Array]:
    codes = labels.astype(int)
    shifted = sums - sums.max(axis=2, keepdims=True)
    powers = np.exp(shifted)
    whole = powers.sum(axis=2, keepdims=True)
    rows = np.arange(len(codes))
    each = np.log(whole[:, :, 0]) - shifted[:, rows, codes]
    slopes = powers / whole
    slopes[:, rows, codes] -= 1
    return each, slopes


def _regression(
    curve: Callable[[Plan, Array], tuple[Array, Array]],
) -> Callable[[Plan, Array, Array], tuple[Array, Array]]:
    """A loss of the error alone."""

    def loss(plan: Plan, sums: Array, labels: Array) -> tuple[Array, Array]:
        each, slopes = curve(plan, sums[:, :, 0] - labels)
        return each, slopes[:, :, None]

    return loss


def _squared(_plan: Plan, error: Array) -> tuple[Array, Array]:
    return error**2, 2 * error


def _absolute(_plan: Plan, error: Array) -> tuple[Array, Array]:
    return np.abs(error), np.sign(error)


def _eps_squared(plan: Plan, error: Array) -> tuple[Array, Array]:
    beyond = np.maximum(np.abs(error) - plan.insensitivity, 0)
    return beyond**2, 2 * beyond * np.sign(error)


def _eps_absolute(plan: Plan, error: Array) -> tuple[Array, Array]:
    beyond = np.maximum(np.abs(error) - plan.insensitivity, 0)
    return beyond, np.sign(error) * (beyond > 0)


def _quantile(plan: Plan, error: Array) -> tuple[Array, Array]:
    slope = np.where(error > 0, 1 - plan.quantile, -plan.quantile)
    return slope * error, slope


def _huber(plan: Plan, error: Array) -> tuple[Array, Array]:
    size, delta = np.abs(error), plan.huber_delta
    each = np.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta))
    return each, np.clip(error, -delta, delta)


_LOSSES: Mapping[str, Callable[[Plan, Array, Array], tuple[Array, Array]]] = {
    "logistic": _logistic,
    "hinge_loss": _hinge,
    "softmax_loss": _softmax,
    "squared_loss": _regression(_squared),
    "absolute_loss": _regression(_absolute),
    "eps_insensitive_squared_loss": _regression(_eps_squared),
    "eps_insensitive_absolute_loss": _regression(_eps_absolute),
    "quantile_loss": _regression(_quantile),
    "huber_loss": _regression(_huber),
}
