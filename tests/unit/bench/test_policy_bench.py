"""The replay of retrain policies: an exact oracle, faithful rivals, a bill that is right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.policy_losses import Losses
from bench.policy_oracle import Game, best_plan, brute_force, cross_fitted
from bench.policy_replay import (
    Policy,
    Settings,
    every,
    never,
    ours,
    replay,
    spread_evenly,
)
from bench.policy_rivals import Adwin
from bench.policy_streams import BadStream, Stream, read_csv

FIRST = 3


def drifting(windows: int = 24, size: int = 40, rate: float = 0.02, seed: int = 0) -> Losses:
    """Models of an invented stream that err more by `rate` for each window of age."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": random.random(windows * size)})
    stream = Stream("invented", "binary", frame, np.zeros(windows * size), size)
    window_of = np.arange(windows * size) // size
    models = np.arange(FIRST, windows)[:, None]
    chance = np.clip(0.1 + rate * np.clip(window_of[None, :] - models - 1, 0, None), 0, 0.9)
    rows = (random.random(chance.shape) < chance).astype(np.float32)
    return Losses(stream, FIRST, rows, random.random(windows * size) < 0.2)


@pytest.mark.parametrize("late", [0, 1, 3])
@pytest.mark.parametrize("seed", range(12))
def test_the_oracle_is_as_good_as_every_plan_tried(seed, late):
    """Dynamic programming finds the cost that trying all plans finds, whatever it costs to train.

    The same games agree with retrainopt 0.4.2's `solve_exact_schedule` (checked by hand).
    """
    random = np.random.default_rng(seed)
    windows = FIRST + 8 + late
    game = Game(
        random.random((windows - FIRST, windows)),
        FIRST,
        float(random.choice([0.02, 0.2, 0.8])),
        late,
    )
    assert game.cost(best_plan(game)) == pytest.approx(brute_force(game))


def test_nobody_beats_the_oracle_by_training_alone():
    """Where each candidate is released, a replay costs what its plan costs."""
    kept = drifting()
    game = Game(kept.errors, FIRST, 0.05)
    best = game.cost(best_plan(game))
    for period in (1, 2, 5, 9):
        played = replay(kept, Policy("every", every(period)), 0.05)
        assert played.cost == pytest.approx(game.cost(list(played.plan)))
        assert played.cost >= best - 1e-9
    assert replay(kept, Policy("never", never), 0.05).cost == pytest.approx(game.cost([]))


def test_every_training_is_charged_also_of_candidates_that_lose():
    """On a stream where nothing changes candidates cost their price, released or not."""
    kept = drifting(rate=0.0)
    played = replay(kept, Policy("gated", every(1), releases=True), 0.05)
    assert played.releases < len(played.plan)
    dearer = replay(kept, Policy("gated", every(1), releases=True), 0.15)
    assert dearer.cost - played.cost == pytest.approx(0.1 * len(played.plan))


def test_late_labels_make_models_older():
    """With labels four windows late the newest model has not seen the last four windows."""
    kept = drifting()
    soon = replay(kept, Policy("every", every(2)), 0.05)
    late = replay(kept, Policy("every", every(2)), 0.05, late=4)
    assert max(late.plan) <= kept.stream.windows - 6
    per_window = (late.cost / (kept.stream.windows - 8), soon.cost / (kept.stream.windows - 4))
    assert per_window[0] > per_window[1]


def test_the_cross_fitted_oracle_has_no_luck():
    """Chosen on other rows than it pays for, it costs more than the exact one."""
    kept = drifting(rate=0.01)
    game = Game(kept.errors, FIRST, 0.05)
    assert cross_fitted(kept, 0.05, 0) > game.cost(best_plan(game))


def test_the_default_policy_trains_where_models_age_and_hardly_where_they_do_not():
    """The real decision code, on an ageing stream and on one where nothing changes."""
    policy = Policy("ours", ours(Settings("paired-challenger")), releases=True, others=9)
    ageing = replay(drifting(60, 200, 0.02), policy, 0.05)
    still = replay(drifting(60, 200, 0.0), policy, 0.05)
    assert 12 <= len(ageing.plan) <= 35
    assert len(still.plan) <= 10


def test_trainings_are_spread_evenly():
    """The control has the same number of trainings, at equal distances."""
    game = Game(np.zeros((21, 24)), FIRST, 0.05)
    plan = sorted(spread_evenly(4, game))
    assert len(plan) == 4
    assert set(np.diff(plan)) == {4}
    assert spread_evenly(0, game) == frozenset()


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, [8191, 14591, 16191, 21151]),
        (2, [8223, 12895, 16127, 20671]),
        (4, [8255, 16191, 20959]),
    ],
)
def test_adwin_cuts_where_rivers_does(seed, expected):
    """Six rates in turn; the rows at which river 0.26.1's ADWIN, started anew, reports a drift."""
    random = np.random.default_rng(seed)
    rates = (0.2, 0.2, 0.35, 0.3, 0.1, 0.15)
    values = np.concatenate([random.random(4000) < rate for rate in rates]).astype(float)
    found, window = [], Adwin()
    for index, value in enumerate(values.tolist()):
        if window.add(value):
            found.append(index)
            window = Adwin()
    assert found == expected


def write(folder, text: str):
    """Put a CSV into a folder."""
    path = folder / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_any_csv_is_a_stream(tmp_path):
    """Two labels of any type are classes, numbers a regression; text columns become codes."""
    rows = "\n".join(f"{i},{'ab'[i % 2]},{'yes' if i % 3 else 'no'}" for i in range(400))
    stream = read_csv(write(tmp_path, f"x,kind,label\n{rows}\n"), None, None)
    assert (stream.name, stream.problem, stream.window) == ("mine", "binary", 20)
    assert stream.labels[:3].tolist() == [0.0, 1.0, 1.0]
    numbers = "\n".join(f"{i},{i % 7}" for i in range(400))
    other = read_csv(write(tmp_path, f"y,x\n{numbers}\n"), "y", 25)
    assert (other.problem, other.window, other.windows) == ("regression", 25, 16)


@pytest.mark.parametrize(
    ("text", "label", "window", "words"),
    [
        ("", None, None, "cannot be read as CSV"),
        ("x,y\n", None, None, "no rows"),
        ("x,y\n1,2\n", "z", None, "no column z; there are x, y"),
        ("x,y\n1,\n2,3\n", None, None, "1 rows have no y"),
        ("x,y\n1,a\n2,b\n3,c\n", None, None, "y has 3 classes"),
        ("x,y\n1,2\n2,3\n3,4\n", None, None, "ask for fewer rows with --window"),
        ("x,y\n1,2\n2,3\n3,4\n", None, 5, "windows of 5 rows; 20 at least"),
    ],
)
def test_a_csv_that_is_no_stream_is_refused_by_name(tmp_path, text, label, window, words):
    """Each mistake says what is wrong and with which file or column."""
    with pytest.raises(BadStream, match=words):
        read_csv(write(tmp_path, text), label, window)
