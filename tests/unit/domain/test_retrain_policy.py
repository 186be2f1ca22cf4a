"""When a candidate is trained, and which version is to serve."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.retrain_learning import learn
from perennial.domain.retrain_names import POLICIES
from perennial.domain.retrain_policy import (
    DEFAULT_PRICE,
    History,
    Labelled,
    Scored,
    Trial,
    better_version,
    decide,
    error_of,
    in_turn,
    price,
    takes_over,
)

DAY = 86_400_000


@dataclass(frozen=True)
class Rules:
    policy: str = "paired-challenger"
    at_least: int = 1
    every: int = 0


def window(number: int, error: float, trained: int = 0, others=(), rows: int = 300) -> Labelled:
    """The window that ends on a day, served by the version trained up to another one."""
    scored = tuple(Scored(day * DAY, wrong, 0.3) for day, wrong in others)
    return Labelled(number * DAY, error, rows, trained * DAY, scored)


def trial(at: int, champion: int, before: float, after: float, rows: int = 300) -> Trial:
    """A run whose candidate was trained up to one day, the champion up to another."""
    return Trial(1, at * DAY, champion * DAY, before, after, rows)


def history(*windows: Labelled, trained: int = 0, trials=(), alarms=()) -> History:
    """What is known of a model whose windows are days."""
    return History(trained * DAY, DAY, windows, tuple(trials), frozenset(alarms))


def steady(days: int, rate: float, level: float = 0.1) -> list[Labelled]:
    """A version that gets worse by the same each day."""
    return [window(day, level + rate * day) for day in range(1, days + 1)]


def test_an_unknown_policy_is_named():
    """A name that is no policy never trains in silence."""
    with pytest.raises(ValueError, match="no policy daily; there are paired-challenger"):
        decide(Rules("daily"), history(), 0.05, 0)


@pytest.mark.parametrize("policy", POLICIES)
def test_without_alarms_labels_and_time_nothing_is_trained(policy):
    """No policy trains for no reason."""
    found = decide(Rules(policy, every=60), history(), 0.05, 0)
    assert not found.train
    assert found.words


def test_any_alarm_counts_monitors():
    """`when: {at_least: 2}` waits for the second monitor, and says so."""
    rules = Rules("any-alarm", at_least=2)
    alone = decide(rules, history(alarms=["bias"]), 0.05, 0)
    assert (alone.train, alone.code) == (False, "too-few-alarms")
    assert "1 of the model's monitors in ALARM (bias)" in alone.words
    both = decide(rules, history(alarms=["bias", "data-quality"]), 0.05, 0)
    assert (both.train, both.words) == (True, "in ALARM: bias, data-quality")


def test_a_fixed_period_counts_from_the_last_training_released_or_not():
    """A candidate that lost was paid for as well; alarms and errors do not matter."""
    rules = Rules("fixed", every=10 * 86_400)
    lost = history(trained=0, trials=[trial(4, 0, 0.1, 0.2)], alarms=["bias"])
    assert decide(rules, lost, 0.05, 14 * DAY - 1).code == "not-yet"
    assert decide(rules, lost, 0.05, 14 * DAY).code == "period"


def test_every_is_the_longest_pause_of_other_policies():
    """A policy that finds no reason trains once the period is over."""
    rules = Rules("rent-or-buy", every=10 * 86_400)
    calm = history(window(1, 0.1), window(2, 0.1))
    assert not decide(rules, calm, 0.05, 9 * DAY).train
    assert decide(rules, calm, 0.05, 10 * DAY).code == "period"


def test_rent_or_buy_buys_when_the_excess_has_paid_for_a_run():
    """The excess over the last trial's better model adds up; what is saved is paid back."""
    judged = [trial(1, 0, 0.20, 0.10)]
    some = [window(2, 0.12, 1), window(3, 0.12, 1)]
    assert not decide(Rules("rent-or-buy"), history(*some, trained=1, trials=judged), 0.05, 0).train
    more = [*some, window(4, 0.12, 1)]
    found = decide(Rules("rent-or-buy"), history(*more, trained=1, trials=judged), 0.05, 0)
    assert (found.train, found.code) == (True, "pays")
    calm = [*some, window(4, 0.05, 1), window(5, 0.12, 1)]
    assert not decide(Rules("rent-or-buy"), history(*calm, trained=1, trials=judged), 0.05, 0).train


def test_rent_or_buy_takes_the_first_window_as_its_level_before_any_trial():
    """The first version's first window says what is to be expected of it."""
    windows = [window(1, 0.3), window(2, 0.32), window(3, 0.34)]
    assert not decide(Rules("rent-or-buy"), history(*windows[:2]), 0.05, 0).train
    assert decide(Rules("rent-or-buy"), history(*windows), 0.05, 0).train


def test_a_sudden_rise_is_answered_at_once():
    """An error far above its level pays for a training within one window."""
    calm = [window(day, 0.10 + 0.01 * (day % 2)) for day in range(1, 6)]
    rules = Rules()
    assert not decide(rules, history(*calm), 0.05, 0).train
    assert decide(rules, history(*calm, window(6, 0.3)), 0.05, 0).code == "pays"


def test_each_training_that_does_not_help_doubles_the_pause():
    """Incurable errors are answered ever more seldom: the pauses grow at least by doubling."""
    windows = [window(day, 0.10 + 0.01 * (day % 2)) for day in range(1, 6)]
    trials: list[Trial] = []
    for day in range(6, 200):
        windows.append(window(day, 0.40))
        past = history(*windows, trials=trials)
        if decide(Rules(), past, 0.05, 0).train:
            trials.append(trial(day, 0, 0.40, 0.40))
    at = [each.at_ms // DAY for each in trials]
    assert at[0] == 6
    assert 2 <= len(at) <= 12
    assert learn(history(*windows, trials=trials)).fruitless == len(at)


def test_a_training_that_helped_restores_what_excess_counts():
    """After fruitless attempts one success makes the next sudden rise count in full again."""
    windows = [window(day, 0.10 + 0.01 * (day % 2)) for day in range(1, 6)]
    lost = [trial(6, 0, 0.4, 0.4)]
    past = history(*windows, window(6, 0.4), window(7, 0.4), trials=lost)
    assert learn(past).fruitless == 1
    cured = replace(past, trials=(*past.trials, trial(7, 0, 0.4, 0.1)), trained_ms=7 * DAY)
    assert learn(cured).fruitless == 0


@given(rate=st.floats(0.002, 0.03), run_price=st.floats(0.02, 0.3))
def test_a_steady_loss_leads_to_the_best_fixed_period(rate, run_price):
    """With a known loss of s a window the pause is sqrt(2p / s), to the nearest window."""
    trials = [trial(day + 8, day, 0.1 + 8 * rate, 0.1, rows=100_000) for day in range(-400, 0, 8)]
    windows = [window(-400, 0.1), *(window(day, 0.1 + rate * day) for day in range(1, 40))]
    for day in range(1, 40):
        past = history(*windows[: day + 1], trials=trials)
        if decide(Rules(), past, run_price, 0).train:
            break
    best = math.sqrt(2 * run_price / rate)
    assert best - 1.5 <= day <= best + 1.5


def test_the_rate_is_learnt_from_two_versions_on_the_same_rows():
    """Hard and easy windows cancel out: only the versions' difference counts."""
    hard = [0.1, 0.5, 0.2, 0.6, 0.15, 0.45] * 10
    windows = [
        window(day, error, 8, others=[(0, error + 0.08)]) for day, error in enumerate(hard, start=9)
    ]
    first = window(8, 0.2)
    past = history(first, *windows, trained=8, trials=[trial(8, 0, 0.28, 0.2)])
    assert learn(past).rate == pytest.approx(0.01, rel=0.05)


def test_alarms_buy_one_candidate_for_each_champion():
    """The first alarm brings the training forward; after a lost trial the errors decide."""
    calm = [window(1, 0.1), window(2, 0.1)]
    assert decide(Rules(), history(*calm, alarms=["bias"]), 0.05, 0).code == "alarm"
    tried = history(*calm, alarms=["bias"], trials=[trial(2, 0, 0.1, 0.1)])
    assert not decide(Rules(), tried, 0.05, 0).train


def test_without_labels_alarms_decide():
    """Where nobody knows what was right, alarms are all there is."""
    assert decide(Rules(), history(alarms=["bias"]), 0.05, 0).train
    assert not decide(Rules(at_least=2), history(alarms=["bias"]), 0.05, 0).train


def test_the_price_is_a_runs_cost_in_errors():
    """A run of 2 USD is worth 200 errors of 1 cent: 0.2 of a window of 1,000 predictions."""
    assert price(2.0, 0.01, 1000) == pytest.approx(0.2)
    assert price(None, 0.01, 1000) == DEFAULT_PRICE
    assert price(2.0, None, 1000) == DEFAULT_PRICE
    assert price(2.0, 0.01, 0) == DEFAULT_PRICE


def test_a_dearer_run_is_bought_later():
    """The pause grows with the price."""
    windows = steady(40, 0.01)
    days = []
    for cost in (0.02, 0.1, 0.4):
        bought = next(
            day for day in range(1, 41) if decide(Rules(), history(*windows[:day]), cost, 0).train
        )
        days.append(bought)
    assert days == sorted(set(days))


def test_errors_of_all_problems_are_of_one_scale():
    """Classes: the share of wrong answers; numbers: as r2 has it; else nothing is known."""
    assert error_of("binary", {"accuracy": 0.9}) == pytest.approx(0.1)
    assert error_of("regression", {"r2": 0.75}) == pytest.approx(0.5)
    assert error_of("regression", {"rmse": 3.0}) is None
    assert error_of("multiclass", {"auc": 0.9}) is None


def test_the_candidate_takes_over_only_if_it_errs_less():
    """Equal is not better."""
    assert takes_over(trial(1, 0, 0.2, 0.19))
    assert not takes_over(trial(1, 0, 0.2, 0.2))


def test_an_earlier_version_comes_back_when_it_is_surely_better():
    """Two windows and two standard errors; of several the best one."""
    little = [window(day, 0.20, 5, others=[(3, 0.19)]) for day in (6, 7)]
    assert better_version(history(*little, trained=5)) is None
    much = [window(day, 0.50, 5, others=[(3, 0.30), (4, 0.10)]) for day in (6, 7)]
    better = better_version(history(*much, trained=5))
    assert better is not None
    assert (better.trained_ms, better.rows) == (4 * DAY, sum(each.rows for each in much))
    assert better.gain == pytest.approx(0.4)
    assert 0 < better.error < better.gain / 2


def test_windows_of_another_live_version_prove_nothing():
    """What an earlier champion lost by is not held against its successor."""
    before = [window(day, 0.50, 4, others=[(3, 0.10)]) for day in (6, 7)]
    assert better_version(history(*before, trained=5)) is None


def test_late_labels_judge_a_champion_that_was_not_yet_live():
    """A version scored on windows that its predecessor served is held against that one."""
    late = [window(day, 0.10, 3, others=[(5, 0.50)]) for day in (6, 7)]
    better = better_version(history(*late, trained=5))
    assert better is not None
    assert better.trained_ms == 3 * DAY
    good = [window(day, 0.50, 3, others=[(5, 0.10)]) for day in (6, 7)]
    assert better_version(history(*good, trained=5)) is None


@given(st.integers(0, 12), st.integers(0, 10), st.integers(0, 10**6))
def test_each_version_has_its_turn_to_be_scored(count, most, turn):
    """No version twice, as many as are asked for, and none is left out for long."""
    versions = list(range(count))
    found = in_turn(versions, turn, most)
    assert len(found) == len(set(found)) == min(count, most)
    if most:
        turns = range(turn, turn + max(1, count))
        seen = {each for number in turns for each in in_turn(versions, number, most)}
        assert seen == set(versions)


@given(st.integers(1, 12), st.integers(1, 10), st.integers(0, 10**6), st.integers(0, 12))
def test_what_did_better_is_looked_at_again(count, most, turn, again):
    """First, and beside it others by turns; one that is gone is nobody's turn."""
    versions = list(range(count))
    found = in_turn(versions, turn, most, again)
    assert len(found) == len(set(found)) == min(count, most)
    if again in versions:
        assert found[0] == again
    assert set(found) <= set(versions)


@given(
    errors=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    gains=st.lists(st.floats(-1, 1), max_size=6),
    run_price=st.floats(0.001, 1),
)
def test_any_past_leads_to_a_decision(errors, gains, run_price):
    """Whatever happened, every policy decides, and what is learnt are finite figures."""
    windows = [window(day, error) for day, error in enumerate(errors, start=1)]
    trials = [trial(2 * i + 1, 0, 0.5 + g / 2, 0.5 - g / 2) for i, g in enumerate(gains)]
    past = history(*windows, trials=trials)
    for policy in POLICIES:
        assert decide(Rules(policy, every=86_400), past, run_price, 0).words
    learnt = learn(past)
    assert math.isfinite(learnt.expected_saving(past))
    assert learnt.rate >= 0
    assert learnt.expected_saving(past) >= 0
