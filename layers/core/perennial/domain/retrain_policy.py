"""When a candidate is trained: alarms, periods and costs decide; and whether it takes over.

An alarm buys a candidate, never a release. One question, `decide`, is answered by one of five
policies (`monitor.retrain.policy` in model.yaml; the fifth is `when: {at_least: k}`, which goes
with each of them). All figures of error are of one scale: the mean loss of a prediction in one
monitor window, 0 for a perfect model and about 1 for a constant answer. A run's price is on that
scale too: it pays once it saves so much error, summed over windows (`price`).

The default, `paired-challenger`, learns from every run what a training brings: the run's report
holds candidate and champion against each other on the same newest labelled rows. docs/
retrain-policy.md has what it does on labelled streams, beside other policies and the best that
could have been done (`bench/policy.py` replays them through this module).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

PolicyName = Literal["paired-challenger", "rent-or-buy", "fixed", "any-alarm"]
POLICIES: tuple[PolicyName, ...] = ("paired-challenger", "rent-or-buy", "fixed", "any-alarm")

#: What a run costs, in summed error, when the settings do not say what an error costs: one run is
#: worth one more wrong answer in twenty throughout one window.
DEFAULT_PRICE = 0.05


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
class Labelled:
    """A window of the live version's traffic whose labels are known: model quality's figures."""

    end_ms: int
    error: float
    rows: int


@dataclass(frozen=True)
class Trial:
    """What one finished run found: both models' errors on the same newest labelled rows.

    `at_ms`: up to when the candidate's training data went. `champion_ms`: the same of the
    champion it was held against. `released`: whether it took over (or waits for approval).
    """

    run: int
    at_ms: int
    champion_ms: int
    champion_error: float
    candidate_error: float
    released: bool

    @property
    def gain(self) -> float:
        """How much less error the candidate makes; below 0 it makes more."""
        return self.champion_error - self.candidate_error


@dataclass(frozen=True)
class History:
    """What is known of a model when somebody asks whether to train.

    `trained_ms`: up to when the live version's training data went. `window_ms`: the length of a
    window. `windows`: those of the live version, oldest first. `trials`: all runs with a verdict,
    oldest first; a run that failed is none. `alarms`: the kinds of monitor in ALARM now.
    """

    trained_ms: int
    window_ms: int
    windows: tuple[Labelled, ...] = ()
    trials: tuple[Trial, ...] = ()
    alarms: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Decision:
    """Whether to train now, and why or why not, in words for people.

    `code` is short and stable: `pays`, `period`, `alarm`; or `too-few-alarms`, `not-yet`,
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


def error_of(problem: str, figures: dict[str, float]) -> float | None:
    """An evaluation's figures as one error on the common scale; None where there is none.

    Classes: the share of wrong answers. Numbers: the root mean squared error ÷ the labels'
    standard deviation, which is sqrt(1 - r2).
    """
    if problem == "regression":
        r2 = figures.get("r2")
        return None if r2 is None else max(0.0, 1.0 - r2) ** 0.5
    accuracy = figures.get("accuracy")
    return None if accuracy is None else 1.0 - accuracy


def decide(settings: RetrainSettings, history: History, run_price: float, now_ms: int) -> Decision:
    """Whether the alarms, the time and the errors up to now are worth a training.

    `run_price`: what a run costs in summed error (`price`). To be asked when an alarm goes off,
    and after each window whose labels are known. Raises `ValueError` for a policy that is none.
    """
    if settings.policy == "any-alarm":
        return _any_alarm(settings, history)
    if settings.policy == "fixed":
        return _fixed(settings, history, now_ms)
    if settings.policy == "rent-or-buy":
        return _rent_or_buy(history, run_price)
    if settings.policy == "paired-challenger":
        return _paired_challenger(settings, history, run_price)
    raise ValueError(f"no policy {settings.policy}; there are {', '.join(POLICIES)}")


def _any_alarm(settings: RetrainSettings, history: History) -> Decision:
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


def _fixed(settings: RetrainSettings, history: History, now_ms: int) -> Decision:
    last = _last_ms(history)
    due = last + settings.every * 1000
    if now_ms >= due:
        return Decision(True, "period", "the period since the last training is over")
    days = (due - now_ms) / 86_400_000
    return Decision(False, "not-yet", f"the next training is due in {days:.1f} days")


def _last_ms(history: History) -> int:
    """Up to when the newest training's data went, whether it was released or not."""
    return max([history.trained_ms, *(trial.at_ms for trial in history.trials)])


def _rent_or_buy(history: History, run_price: float) -> Decision:
    """Pay as long as it is cheaper, then buy: the summed excess error has reached a run's price.

    Ski rental: whatever comes, at most twice the cost of knowing it beforehand. The excess is
    over what the last candidate or champion, the better one, erred when it was judged.
    """
    excess = excess_error(history)
    if excess >= run_price:
        return Decision(
            True, "pays", f"excess error {excess:.3g} has reached a run's {run_price:.3g}"
        )
    words = f"excess error {excess:.3g} since the last training; a run costs {run_price:.3g}"
    return Decision(False, "not-yet", words)


def excess_error(history: History) -> float:
    """The summed error beyond what was to be expected since the last training, at least 0."""
    since = _last_ms(history)
    windows = [each for each in history.windows if each.end_ms > since]
    trials = history.trials
    if trials:
        expected = min(trials[-1].champion_error, trials[-1].candidate_error)
    elif windows:
        expected, windows = windows[0].error, windows[1:]
    else:
        return 0.0
    excess = 0.0
    for each in windows:
        excess = max(0.0, excess + each.error - expected)
    return excess


def _paired_challenger(settings: RetrainSettings, history: History, run_price: float) -> Decision:
    alarm = _any_alarm(settings, history)
    decision = _rent_or_buy(history, run_price)
    if alarm.train and not decision.train:
        return alarm
    return decision
