"""When a candidate is trained: alarms, periods and costs decide; and whether it takes over.

An alarm buys a candidate, never a release. One question, `decide`, is answered by one of
`POLICIES` (`monitor.retrain.policy` in model.yaml; `when: {at_least: k}` goes with each). All
errors are of one scale: the mean loss of a prediction in one monitor window, 0 for a perfect
model and about 1 for a constant answer. A run's price is on that scale too: it pays once it saves
so much error, summed over windows (`price`).

Which of two versions is to serve is never a matter of age: `takes_over` and `better_version` hold
them against each other on the same newest labelled rows. docs/retrain-policy.md tells what all
this does on labelled streams, beside other policies and the best that could have been done;
`bench/policy.py` replays them through this module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from perennial.domain.retrain_learning import learn
from perennial.domain.retrain_names import POLICIES, PolicyName

V = TypeVar("V")
#: Policies by which an alarm can open a run; the others only tell people of it.
HEARS_ALARMS: tuple[PolicyName, ...] = ("paired-challenger", "any-alarm")

#: What a run costs, in summed error, when the settings do not say what an error costs: one run is
#: worth one more wrong answer in twenty throughout one window.
DEFAULT_PRICE = 0.05
#: `better_version` looks at so many of the newest windows: more say how it was, not how it is.
NEWEST = 2
#: ... and wants the difference to be so many standard errors: some other version seems a little
#: better in every window, by chance.
SURE = 2.0


class RetrainSettings(Protocol):
    """What a policy needs of the settings' section `monitor: {retrain: ...}`."""

    @property
    def policy(self) -> str:
        """One of `POLICIES`."""

    @property
    def at_least(self) -> int:
        """How many of the model's monitors must be in ALARM for an alarm to count."""

    @property
    def every(self) -> int:
        """The period of `fixed`, in seconds; the longest pause of the others; 0: none."""


@dataclass(frozen=True)
class Scored:
    """Another version on a window's rows, none of which it was trained on.

    `trained_ms`: up to when its training data went; it names the version here. `spread`: the
    standard deviation of the rows' difference of loss to the live version.
    """

    trained_ms: int
    error: float
    spread: float


@dataclass(frozen=True)
class Labelled:
    """A window of live traffic whose labels are known: model quality's figures.

    `trained_ms`: up to when the training data of the version went that was live. `others`:
    earlier versions on the same rows, if somebody scored them.
    """

    end_ms: int
    error: float
    rows: int
    trained_ms: int
    others: tuple[Scored, ...] = ()

    def error_of(self, trained_ms: int) -> float | None:
        """The error of one version in this window; None when nobody knows it."""
        if trained_ms == self.trained_ms:
            return self.error
        return next((each.error for each in self.others if each.trained_ms == trained_ms), None)

    def spread_of(self, trained_ms: int) -> float:
        """The standard deviation of a version's difference to the live one; 0 for itself."""
        return next((each.spread for each in self.others if each.trained_ms == trained_ms), 0.0)


@dataclass(frozen=True)
class Trial:
    """What one finished run found: both models' errors on the same newest labelled rows.

    `at_ms`: up to when the candidate's training data went. `champion_ms`: the same of the
    champion it was held against. `rows`: on how many rows.
    """

    run: int
    at_ms: int
    champion_ms: int
    champion_error: float
    candidate_error: float
    rows: int

    @property
    def gain(self) -> float:
        """How much less error the candidate makes; below 0 it makes more."""
        return self.champion_error - self.candidate_error


@dataclass(frozen=True)
class History:
    """What is known of a model when somebody asks whether to train.

    `trained_ms`: up to when the live version's training data went. `window_ms`: the length of a
    window. `windows`: all labelled ones, also of earlier live versions, oldest first. `trials`:
    all runs that held a candidate against a champion, oldest first. `alarms`: the kinds of
    monitor in ALARM now. `judged_ms`: up to when the data of the newest run with a verdict went,
    also of one that is no trial, for its errors are not known.
    """

    trained_ms: int
    window_ms: int
    windows: tuple[Labelled, ...] = ()
    trials: tuple[Trial, ...] = ()
    alarms: frozenset[str] = field(default_factory=frozenset)
    judged_ms: int = 0

    def last_ms(self) -> int:
        """Up to when the newest training's data went, whether it was released or not."""
        return max([self.trained_ms, self.judged_ms, *(trial.at_ms for trial in self.trials)])


@dataclass(frozen=True)
class Decision:
    """Whether to train now, and why or why not, in words for people.

    `code` is short and stable: `pays`, `period`, `alarm`; or `not-yet`, `too-few-alarms`,
    `no-alarm`.
    """

    train: bool
    code: str
    words: str


def price(run_usd: float | None, error_usd: float | None, rows: int) -> float:
    """What a run costs in summed error: USD of a run ÷ USD of one unit of error in each row.

    `error_usd`: what one wrong answer costs (settings; None: unknown), `rows`: predictions in a
    window. `DEFAULT_PRICE` where either is unknown.
    """
    if run_usd is None or not error_usd or rows <= 0:
        return DEFAULT_PRICE
    return run_usd / (error_usd * rows)


def error_of(problem: str, figures: Mapping[str, float]) -> float | None:
    """An evaluation's figures as one error on the common scale; None where there is none.

    Classes: the share of wrong answers. Numbers: the root mean squared error ÷ the labels'
    standard deviation, which is sqrt(1 - r2).
    """
    if problem == "regression":
        r2 = figures.get("r2")
        return None if r2 is None else math.sqrt(max(0.0, 1.0 - r2))
    accuracy = figures.get("accuracy")
    return None if accuracy is None else 1.0 - accuracy


def decide(settings: RetrainSettings, history: History, run_price: float, now_ms: int) -> Decision:
    """Whether the alarms, the time and the errors up to now are worth a training.

    `run_price`: what a run costs in summed error (`price`). To be asked when an alarm goes off,
    and after each window whose labels are known. Raises `ValueError` for a policy that is none.
    """
    if settings.policy not in POLICIES:
        raise ValueError(f"no policy {settings.policy}; there are {', '.join(POLICIES)}")
    if settings.policy == "fixed" or settings.every:
        period = _period(settings, history, now_ms)
        if period.train or settings.policy == "fixed":
            return period
    if settings.policy == "any-alarm":
        return _alarms(settings, history)
    if settings.policy == "rent-or-buy":
        return _rent_or_buy(history, run_price)
    return _paired_challenger(settings, history, run_price)


def takes_over(trial: Trial) -> bool:
    """Whether the candidate is to serve: it errs less on the same newest labelled rows.

    Its training is paid for either way, so the likelier of the two to err less is the better
    bet. A model's own gates may ask for more (`gates.champion`, with a margin and a confidence).
    """
    return trial.gain > 0


@dataclass(frozen=True)
class Better:
    """Another version that errs surely less than the live one, over the newest windows.

    `gain`: by how much, on the mean of `rows` rows; `error`: the standard error of that.
    """

    trained_ms: int
    gain: float
    error: float
    rows: int


def better_version(history: History) -> Better | None:
    """The other version that should serve, None: the live one stays.

    A candidate that lost is judged again when newer labels arrive, and so is every version that
    was replaced: relations come back. Only windows after both versions' training count, whoever
    was live in them.
    """
    live = history.trained_ms
    windows = [each for each in history.windows[-NEWEST:] if each.error_of(live) is not None]
    others = {other.trained_ms for each in windows for other in each.others}
    known = others | {each.trained_ms for each in windows}
    found = None
    for trained_ms in sorted(known - {live}):
        better = _paired(windows, live, trained_ms)
        if better.gain > SURE * better.error and (found is None or better.gain > found.gain):
            found = better
    return found


def in_turn(versions: Sequence[V], turn: int, most: int, again: V | None = None) -> list[V]:
    """The `most` versions to score on a window, of all others than the live one, newest first.

    `again`, which did better than the live one on the last window, is looked at once more; then
    the others have their turns, each window (number `turn`) other ones: any of them may have
    become the better one.
    """
    first = [again] if again is not None and again in versions and most else []
    rest = [each for each in versions if each not in first]
    count = min(most - len(first), len(rest))
    return first + [rest[(turn * count + i) % len(rest)] for i in range(count)]


def _paired(windows: Sequence[Labelled], live: int, other: int) -> Better:
    """How much less a version errs than the live one over these windows; 0 if nobody knows."""
    rows, total, variance = 0, 0.0, 0.0
    for each in windows:
        mine, theirs = each.error_of(live), each.error_of(other)
        if mine is not None and theirs is not None:
            rows += each.rows
            total += each.rows * (mine - theirs)
            variance += each.rows * (each.spread_of(live) ** 2 + each.spread_of(other) ** 2)
    if not rows:
        return Better(other, 0.0, math.inf, 0)
    return Better(other, total / rows, math.sqrt(variance) / rows, rows)


def _alarms(settings: RetrainSettings, history: History) -> Decision:
    alarms = sorted(history.alarms)
    if not alarms:
        return Decision(False, "no-alarm", "no monitor of the model is in ALARM")
    if len(alarms) < settings.at_least:
        words = (
            f"{len(alarms)} of the model's monitors in ALARM ({', '.join(alarms)}); "
            f"monitor.retrain.when wants {settings.at_least}"
        )
        return Decision(False, "too-few-alarms", words)
    return Decision(True, "alarm", f"in ALARM: {', '.join(alarms)}")


def _period(settings: RetrainSettings, history: History, now_ms: int) -> Decision:
    due = history.last_ms() + settings.every * 1000
    if now_ms >= due:
        return Decision(True, "period", "the period since the last training is over")
    days = (due - now_ms) / 86_400_000
    return Decision(False, "not-yet", f"the next training is due in {days:.1f} days")


def _rent_or_buy(history: History, run_price: float) -> Decision:
    """Pay as long as it is cheaper, then buy: the summed excess error has reached a run's price.

    Ski rental: if each run took all excess away, it would cost at most twice what one would have
    paid who knew the future. The excess is over what the better of the last run's two models
    erred when they were judged.
    """
    last = history.last_ms()
    windows = [each for each in history.windows if each.end_ms > last]
    if history.trials:
        judged = history.trials[-1]
        expected = min(judged.champion_error, judged.candidate_error)
    elif windows:
        expected, windows = windows[0].error, windows[1:]
    else:
        return Decision(False, "not-yet", "no labels are known since the last training")
    excess = 0.0
    for each in windows:
        excess = max(0.0, excess + each.error - expected)
    words = f"excess error {excess:.3g} since the last training; a run costs {run_price:.3g}"
    return Decision(excess >= run_price, "pays" if excess >= run_price else "not-yet", words)


def _paired_challenger(settings: RetrainSettings, history: History, run_price: float) -> Decision:
    """Buy once what a training is expected to have saved by now adds up to its price.

    Expected by what the model's own trainings brought (`retrain_learning`). An alarm brings the
    training forward, once for each champion: where a candidate was tried and the champion kept,
    alarms add nothing that the errors do not say. Without labels alarms are all there is.
    """
    alarms = _alarms(settings, history)
    if not history.windows:
        return alarms
    tried = any(trial.champion_ms == history.trained_ms for trial in history.trials)
    if alarms.train and not tried:
        return alarms
    expected = learn(history).expected_saving(history)
    if expected >= run_price:
        words = (
            f"a training would have saved an error of {expected:.3g} by now; it costs "
            f"{run_price:.3g}"
        )
        return Decision(True, "pays", words)
    words = (
        f"a training would have saved an error of only {expected:.3g} by now; it costs "
        f"{run_price:.3g}"
    )
    return Decision(False, "not-yet", words)
