"""Simulated weeks: a drift that retraining cannot cure does not retrain for ever.

The ledger's own rules hold signals and end runs, the policy decides beside them; nothing here is
made for the test but the weather: an alarm that stays, and new labels each day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from perennial.domain.ledger.book import Book
from perennial.domain.ledger.holding import Opening
from perennial.domain.ledger.holding import decide as ledger_decides
from perennial.domain.ledger.rows import Ending
from perennial.domain.ledger.settling import Findings, free
from perennial.domain.retrain_policy import History, Labelled, Trial, decide

from tests.unit.domain.ledger_builders import (
    DAY,
    HOUR,
    LIMITS,
    NOW,
    champion,
    claimed_run,
    drift,
    model,
    written,
)

WEEKS = 26
#: The alarm is looked at again every so many hours.
LOOKS = 6
WON = Ending("won", "it won")
LOST = Ending("lost", "it lost")


@dataclass(frozen=True)
class Rules:
    policy: str = "paired-challenger"
    at_least: int = 1
    every: int = 0


@dataclass
class Weather:
    """What half a year brought: when runs opened, and what is known by then."""

    opened: list[int]
    history: History


def live_through(*, cured_on: int | None, drift_on: int = 10) -> Weather:
    """An alarm that stays from a day on; from another on candidates are good."""
    row = model(champion=champion(5), data_run=5, last_run=6, ended_ms=0)
    past = History(NOW, DAY)
    opened: list[int] = []
    alarm = drift()
    sounding = False
    cured = False
    for hour in range(0, WEEKS * 7 * 24, LOOKS):
        now_ms, day = NOW + hour * HOUR, hour // 24
        if hour % 24 == 0 and day:
            drifted = day >= drift_on and not cured
            error = (0.4 if drifted else 0.1) + 0.01 * (day % 2)
            seen = Labelled(now_ms, error, 300, past.trained_ms)
            sounding = drifted
            alarms = frozenset({"model-quality"}) if sounding else frozenset[str]()
            past = replace(past, windows=(*past.windows, seen), alarms=alarms)
            row = replace(row, data_run=row.last_run + 1)  # labels that no run has seen
        signals = (replace(alarm, admitted_ms=now_ms - HOUR),) if sounding else ()
        held = not isinstance(ledger_decides(Book(row, signals, None), LIMITS, now_ms), Opening)
        if held or not past.windows or not decide(Rules(), past, 0.05, now_ms).train:
            continue
        opened.append(day)
        won = cured_on is not None and day >= cured_on
        run = claimed_run(number=row.last_run + 1, state="started", alarms=alarm.parts[:1], fresh=1)
        judged = Trial(run.number, now_ms, past.trained_ms, 0.4, 0.1 if won else 0.4, 300)
        past = replace(past, trials=(*past.trials, judged))
        row = replace(row, last_run=run.number, open_run=run.number)
        ended = free(row, run, WON if won else LOST, Findings(), now_ms + HOUR)
        row = next(each for each in written(ended) if each.key == row.key)
        if won:
            cured = True
            live = champion(run.number, since_ms=now_ms)
            row = replace(row, champion=live, closed=())
            past = replace(past, trained_ms=now_ms)
    return Weather(opened, past)


def test_an_incurable_drift_is_answered_ever_more_seldom():
    """Half a year of alarms costs a dozen runs at most, the last ones many days apart."""
    weather = live_through(cured_on=None)
    assert weather.opened[0] == 10
    assert 3 <= len(weather.opened) <= 12
    pauses = [b - a for a, b in zip(weather.opened, weather.opened[1:], strict=False)]
    assert max(pauses) >= 14
    assert pauses[-1] >= 4 * max(1, pauses[0])


@pytest.mark.parametrize("cured_on", [10, 13, 20])
def test_a_curable_drift_is_cured_within_days(cured_on):
    """Once a candidate can win, a run finds out soon, and then there is peace."""
    weather = live_through(cured_on=cured_on)
    cured = weather.history.trained_ms
    found_out = (cured - NOW) // DAY
    assert cured_on <= found_out <= cured_on + max(2, cured_on - 10)
    later = [day for day in weather.opened if day > found_out]
    assert len(later) <= 4
