"""What a model's past says about its next training: how much error would it take away?

Two reasons for an error that a training can take away are told apart:

- *Age.* Models get worse steadily as the world moves on. How fast, in error per window of age, is
  learnt from pairs: two versions of different age on the same rows, so that hard weeks and easy
  ones cancel out. A least-squares line through the origin, older pairs fading.
- *Level.* The error is suddenly higher than it should be at this age. Whether a training cures
  that is not known beforehand: after a sudden change there may be too little data of the new kind
  at first, and noise is never cured. So each training that did not help halves what further
  excess counts, which doubles the pause until the next attempt; one that helped restores it.

With a steady loss of s a window and a price p, the sum of s x age reaches p after sqrt(2p / s)
windows, which is the best fixed period (the economic order quantity; F. W. Harris 1913).
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Before anything is learnt: fresh data of four windows are believed to take a tenth of the error
#: away. That weighs as much as two pairs of that age difference, each of a whole window's rows.
PRIOR_SHARE, PRIOR_AGE, PRIOR_PAIRS = 0.1, 4.0, 2.0
#: How much older pairs fade with each new one: twenty count, about half a year of weeks.
FADE = 0.95
#: What a window's error may be above its level without counting, in standard deviations of the
#: windows' own ups and downs: of normal errors one in fifteen is beyond.
ALLOWANCE = 1.5
#: The windows by which the ups and downs are measured; before there are three, a share of level.
RECENT, FEWEST_STEPS, EARLY_NOISE = 16, 3, 0.25
#: The level follows a trained candidate's error: down by a half at a time, for one low figure may
#: be luck, and up by a tenth, so that an error that was once lower stays worth reaching.
DOWN, UP = 0.5, 0.1
#: A training helped if it took away at least this share of the excess that caused it.
HELPED = 0.5
#: A trial is judged by its last windows' excess.
JUDGED = 2
#: The median of absolute steps of independent normal values is 0.954 standard deviations.
STEP_TO_DEVIATION = 1 / 0.954


class Other(Protocol):
    """Another version on a window's rows."""

    @property
    def trained_ms(self) -> int:
        """Up to when its training data went."""

    @property
    def error(self) -> float:
        """Its mean loss."""


class Window(Protocol):
    """A window of live traffic whose labels are known."""

    @property
    def end_ms(self) -> int:
        """Its end."""

    @property
    def error(self) -> float:
        """The live version's mean loss."""

    @property
    def rows(self) -> int:
        """How many labelled rows it has."""

    @property
    def trained_ms(self) -> int:
        """Up to when the live version's training data went."""

    @property
    def others(self) -> Sequence[Other]:
        """Other versions on the same rows."""

    def error_of(self, trained_ms: int) -> float | None:
        """A version's error in this window."""


class Judged(Protocol):
    """A candidate and the champion on the same rows."""

    @property
    def at_ms(self) -> int:
        """Up to when the candidate's training data went."""

    @property
    def champion_ms(self) -> int:
        """The same of the champion."""

    @property
    def candidate_error(self) -> float:
        """The candidate's mean loss."""

    @property
    def gain(self) -> float:
        """The champion's minus the candidate's."""

    @property
    def rows(self) -> int:
        """On how many rows."""


class Past(Protocol):
    """A model's labelled windows and trials, each oldest first."""

    @property
    def trained_ms(self) -> int:
        """Up to when the live version's training data went."""

    @property
    def window_ms(self) -> int:
        """The length of a window."""

    @property
    def windows(self) -> Sequence[Window]:
        """All labelled windows."""

    @property
    def trials(self) -> Sequence[Judged]:
        """All trainings that were judged."""


@dataclass
class Learnt:
    """What the past says, as far as it was read. Errors are means, ages in windows.

    `level`: the error to be expected of a fresh model. `rate`: the error that a window of age
    adds. `fruitless`: trainings in a row that did not cure an excess. `since`: the windows after
    the last training's data.
    """

    window_ms: int
    level: float
    moment: float
    weight: float
    full_rows: int
    fruitless: int = 0
    errors: list[float] = field(default_factory=list)
    since: list[Window] = field(default_factory=list)
    pair: tuple[int, int] | None = None

    @property
    def rate(self) -> float:
        """Error that one window of age adds, at least 0."""
        return max(0.0, self.moment / self.weight)

    @property
    def noise(self) -> float:
        """The standard deviation of the windows' errors around a level that may move."""
        recent = self.errors[-RECENT - 1 :]
        steps = [abs(b - a) for a, b in itertools.pairwise(recent)]
        if len(steps) < FEWEST_STEPS:
            return EARLY_NOISE * self.level
        return STEP_TO_DEVIATION * statistics.median(steps)

    def see(self, window: Window) -> None:
        """Learn from a window: its error, and the last trial's two versions on its rows."""
        self.errors.append(window.error)
        self.since.append(window)
        if self.pair is None:
            return
        older, newer = (window.error_of(each) for each in self.pair)
        if older is not None and newer is not None:
            self._fit((self.pair[1] - self.pair[0]) / self.window_ms, older - newer, window.rows)

    def judge(self, trial: Judged) -> None:
        """Learn from a training: what it brought, and whether it cured what caused it."""
        age = (trial.at_ms - trial.champion_ms) / self.window_ms
        excess = self._excess_of(trial.champion_ms)[-JUDGED:]
        above = statistics.fmean(excess) if excess else 0.0
        if above > 0:
            helped = trial.gain - self.rate * age >= HELPED * above
            self.fruitless = 0 if helped else self.fruitless + 1
        self._fit(age, trial.gain, trial.rows)
        step = trial.candidate_error - self.level
        self.level += (UP if step > 0 else DOWN) * step
        self.pair = (trial.champion_ms, trial.at_ms)
        self.since = [each for each in self.since if each.end_ms > trial.at_ms]

    def expected_saving(self, past: Past) -> float:
        """The error that a training after the last one would have saved up to now, summed."""
        excess = 0.0
        for each in self._excess_of(past.trained_ms):
            excess = max(0.0, excess + each * 0.5**self.fruitless)
        ages = (self._age(each, past.trained_ms) for each in self.since)
        return excess + sum(self.rate * age for age in ages)

    def _excess_of(self, trained_ms: int) -> list[float]:
        """How far a version's errors since the last training are beyond level, age and noise."""
        found = []
        for each in self.since:
            error = each.error_of(trained_ms)
            if error is not None:
                due = self.level + self.rate * self._age(each, trained_ms)
                found.append(error - due - ALLOWANCE * self.noise)
        return found

    def _age(self, window: Window, trained_ms: int) -> float:
        return max(0.0, (window.end_ms - trained_ms) / self.window_ms)

    def _fit(self, age: float, gain: float, rows: int) -> None:
        share = rows / self.full_rows
        self.moment = FADE * self.moment + gain * age * share
        self.weight = FADE * self.weight + age * age * share


def learn(past: Past) -> Learnt:
    """Read a model's past in the order in which it happened; there is one window at least."""
    first = past.windows[0]
    weight = PRIOR_PAIRS * PRIOR_AGE**2
    rate = PRIOR_SHARE * first.error / PRIOR_AGE
    learnt = Learnt(past.window_ms, first.error, rate * weight, weight, max(1, first.rows))
    for event in _in_order(past):
        if isinstance(event, tuple):
            learnt.judge(event[0])
        else:
            learnt.see(event)
    return learnt


def _in_order(past: Past) -> Iterable[Window | tuple[Judged]]:
    """Windows and trials by time; a trial comes after the windows that it was trained on."""
    trials = list(past.trials)
    for window in past.windows:
        while trials and trials[0].at_ms < window.end_ms:
            yield (trials.pop(0),)
        yield window
    for trial in trials:
        yield (trial,)
