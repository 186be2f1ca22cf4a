"""Replays a stream's windows through a rule: who serves, who is trained, and what it costs.

At the end of window t the labels of window t - late are known, and the rule is asked. A training
is charged whatever comes of it. Its candidate and the model in production are then held against
each other on the newest labelled rows that neither has learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from perennial.domain.retrain_names import PolicyName
from perennial.domain.retrain_policy import (
    History,
    Labelled,
    Scored,
    Trial,
    better_version,
    decide,
    in_turn,
    takes_over,
)

from bench.policy_losses import Losses
from bench.policy_oracle import Game
from bench.policy_rivals import Adwin, evidently_fires
from bench.policy_streams import Array, Stream

#: A window lasts a day, as far as the rules' clock is concerned.
WINDOW_MS = 86_400_000
#: Candidate and champion are paired on so many of the newest labelled windows' held-out rows.
PAIRED = 2
#: So many of the newest other versions are looked at.
MOST_RUNS = 39
#: A release is judged afterwards by so many windows.
AFTER = 4


@dataclass(frozen=True)
class Settings:
    """`monitor: {retrain: ...}` of a model.yaml."""

    policy: PolicyName
    at_least: int = 1
    every: int = 0


@dataclass
class State:
    """What a rule may see: `known` is the newest window with labels; models go by window."""

    losses: Losses
    alpha: float
    late: int
    champion: int
    known: int
    trained: list[int]
    history: History
    adwin: Adwin = field(default_factory=Adwin)
    adwin_to: int = 0

    @property
    def last(self) -> int:
        """Up to which window the newest training went."""
        return max(self.trained)


Rule = Callable[[State], bool]
Releases = Callable[[State, Trial], bool]


@dataclass(frozen=True)
class Policy:
    """A rule and how its candidates are released.

    `others`: so many earlier versions are scored on each labelled window, each of which costs
    `scoring`, a share of a training's price. `turn`: which of them have the first turn.
    """

    name: str
    rule: Rule
    releases: bool = False
    others: int = 0
    scoring: float = 0.0
    turn: int = 0
    release: Releases | None = None


@dataclass(frozen=True)
class Replay:
    """What came of it: errors and trainings, by the window up to which each was trained.

    `scored`: how often an earlier version was scored on a window.
    """

    cost: float
    plan: tuple[int, ...]
    releases: int
    worse: int
    #: Of each training: by how much its candidate errs less over the next windows, summed.
    saved: tuple[float, ...]
    scored: int = 0


def moment(model: int) -> int:
    """Up to when a model's training data went: the end of its last window."""
    return (model + 1) * WINDOW_MS


def replay(losses: Losses, policy: Policy, alpha: float, late: int = 0) -> Replay:
    """Run one policy over one stream."""
    errors = losses.errors
    game = Game(errors, losses.first, alpha, late)
    first = losses.first
    state = State(losses, alpha, late, first, first, [first], History(moment(first), WINDOW_MS))
    served: dict[int, int] = {}
    cost, releases, worse, saved = 0.0, 0, 0, []
    for now in range(game.start, game.end):
        served[now] = state.champion
        cost += float(errors[state.champion - first, now])
        if now == game.end - 1:
            break
        state.known = now - late
        if state.known in served:
            _reveal(state, policy, served[state.known])
        before = state.champion
        if policy.rule(state):
            cost += alpha
            trial = _train(state)
            saved.append(_after(losses, before, state.known, now))
            if not policy.releases or _is_released(state, policy, trial):
                state.champion = state.known
        elif policy.others:
            better = better_version(state.history)
            state.champion = before if better is None else better.trained_ms // WINDOW_MS - 1
        if state.champion != before:
            releases += 1
            worse += _after(losses, before, state.champion, now) < 0
            state.history = replace(state.history, trained_ms=moment(state.champion))
    scored = sum(len(each.others) for each in state.history.windows)
    cost += alpha * policy.scoring * scored
    return Replay(cost, tuple(state.trained[1:]), releases, worse, tuple(saved), scored)


def _is_released(state: State, policy: Policy, trial: Trial) -> bool:
    return takes_over(trial) if policy.release is None else policy.release(state, trial)


def _after(losses: Losses, before: int, after: int, now: int) -> float:
    """How much less a model errs than another over the next windows, summed."""
    windows = range(now + 1, min(now + 1 + AFTER, losses.stream.windows))
    return sum(
        float(losses.of(before, each).mean() - losses.of(after, each).mean()) for each in windows
    )


def _reveal(state: State, policy: Policy, live: int) -> None:
    """Labels of one more window are known."""
    losses, window = state.losses, state.known
    mine = losses.of(live, window)
    others = []
    unseen = [model for model in state.trained if model != live and model < window]
    # The newest first; the deployed rule reads the newest runs alone too.
    for model in in_turn(
        unseen[: -MOST_RUNS - 1 : -1], window + policy.turn, policy.others, _again(state.history)
    ):
        theirs = losses.of(model, window)
        spread = float(np.std(mine - theirs, dtype=float))
        others.append(Scored(moment(model), float(theirs.mean(dtype=float)), spread))
    seen = Labelled(
        moment(window), float(mine.mean(dtype=float)), len(mine), moment(live), tuple(others)
    )
    state.history = replace(state.history, windows=(*state.history.windows, seen))


def _again(history: History) -> int | None:
    """The model that did best on the last window, if that is better than the live one."""
    last = history.windows[-1] if history.windows else None
    best = min(last.others, key=lambda each: each.error, default=None) if last else None
    if last is None or best is None or best.error >= last.error:
        return None
    return best.trained_ms // WINDOW_MS - 1


def _train(state: State) -> Trial:
    """Train a candidate on what is known and hold it against the champion."""
    candidate, champion = state.known, state.champion
    ours, theirs = _paired(state.losses, candidate, champion)
    trial = Trial(
        run=len(state.trained),
        at_ms=moment(candidate),
        champion_ms=moment(champion),
        champion_error=float(theirs.mean()),
        candidate_error=float(ours.mean()),
        rows=len(ours),
    )
    state.trained.append(candidate)
    state.adwin, state.adwin_to = Adwin(), state.known
    state.history = replace(state.history, trials=(*state.history.trials, trial))
    return trial


def _paired(losses: Losses, candidate: int, champion: int) -> tuple[Array, Array]:
    """Both models' losses on the same held-out rows of the newest windows."""
    windows = range(max(0, candidate - PAIRED + 1), candidate + 1)
    ours_, theirs = (
        np.concatenate([losses.fair(model, each) for each in windows]).astype(float)
        for model in (candidate, champion)
    )
    return ours_, theirs


# Rules


def never(_: State) -> bool:
    """The first model for ever."""
    return False


def every(period: int) -> Rule:
    """A training each so many windows."""
    return lambda state: state.known - state.last >= period


def at(plan: frozenset[int]) -> Rule:
    """Trainings at these windows."""
    return lambda state: state.known in plan


def ours(settings: Settings) -> Rule:
    """The real decision."""

    def rule(state: State) -> bool:
        if state.known <= state.last:
            return False
        now_ms = moment(state.known + state.late)
        return decide(settings, state.history, state.alpha, now_ms).train

    return rule


def evidently(span: int | None) -> Rule:
    """Evidently's default preset: the champion's training rows against the newest window."""

    def rule(state: State) -> bool:
        stream: Stream = state.losses.stream
        begin = 0 if span is None else max(0, state.champion + 1 - span)
        reference = stream.rows(begin, state.champion + 1)
        # Inputs are known at once; only labels are late.
        now = state.known + state.late
        newest = stream.rows(now, now + 1)
        return state.known > state.last and evidently_fires(stream, reference, newest)

    return rule


def adwin(state: State) -> bool:
    """ADWIN on the error of the rows served, anew after each training; only a rise counts."""
    windows = state.history.windows
    fired = False
    for each in windows:
        window = each.end_ms // WINDOW_MS - 1
        if window <= state.adwin_to:
            continue
        state.adwin_to = window
        model = each.trained_ms // WINDOW_MS - 1
        for value in state.losses.of(model, window).tolist():
            before = state.adwin.mean
            fired |= state.adwin.add(min(1.0, value)) and state.adwin.mean > before
    return fired and state.known > state.last


def spread_evenly(trainings: int, game: Game) -> frozenset[int]:
    """The same number of trainings at equal distances."""
    first, last = game.first, game.end - 1 - game.late
    step = (last - first) / (trainings + 1)
    return frozenset(first + round(step * (i + 1)) for i in range(trainings)) - {first}


def by_gate(state: State, trial: Trial) -> bool:
    """The default gate `champion`: the lower bound of the difference lies above 0.

    By the normal approximation of the paired bootstrap, one-sided at 95 %.
    """
    from perennial.domain.comparison import judge_champion  # noqa: PLC0415
    from perennial.domain.settings import Comparison  # noqa: PLC0415

    ours_, theirs = _paired(state.losses, state.known, state.champion)
    difference = theirs - ours_
    error = float(difference.std()) / math.sqrt(len(difference))
    document = {
        "metric": "accuracy",
        "candidate": 1 - trial.candidate_error,
        "champion": 1 - trial.champion_error,
        "difference": trial.gain,
        "lower": trial.gain - 1.645 * error,
        "confidence": 0.95,
        "rows": trial.rows,
    }
    return judge_champion(document, Comparison("accuracy")).passed
