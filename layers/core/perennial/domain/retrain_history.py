"""What the ledger's rows say of a model's past, as the retrain policies read it.

A model's training data are taken to go up to the moment its run closed its manifest. The errors
of windows come from the model quality monitor, those of trials from the run's own comparison of
candidate and champion on the same rows; where a figure is missing, that window or run says
nothing of errors, and nothing is made up for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from perennial.domain.ledger.monitor_rows import Earlier, WindowRow
from perennial.domain.ledger.rows import RunRow
from perennial.domain.monitor_windows import Window
from perennial.domain.retrain_policy import Labelled, Scored, Trial, error_of, in_turn

#: The name that a policy's signals bear among the schedules' ones.
SCHEDULE = "retrain-policy"


def paired_text(
    problem: str,
    comparison: Mapping[str, Any] | None,
    champion_run: int | None,
    usd: float | None,
) -> str:
    """What a verdict's row keeps of the comparison and the run's cost, as JSON text.

    Empty when there was no champion to compare with, or its figures say no error.
    """
    metrics = (comparison or {}).get("metrics") or {}
    errors = {
        whose: error_of(problem, _figures(metrics, whose)) for whose in ("candidate", "champion")
    }
    found: dict[str, Any] = {} if usd is None else {"usd": round(usd, 6)}
    if champion_run is not None and None not in errors.values():
        found |= {**errors, "champion_run": champion_run, "rows": int((comparison or {})["rows"])}
    return json.dumps(found, sort_keys=True) if found else ""


def _figures(metrics: Mapping[str, Any], whose: str) -> dict[str, float]:
    known = {name: entry.get(whose) for name, entry in metrics.items()}
    return {name: float(value) for name, value in known.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def trained_ms(run: RunRow) -> int:
    """Up to when a run's training data go."""
    return run.claimed_ms or run.opened_ms


def trials_of(runs: Iterable[RunRow]) -> tuple[Trial, ...]:
    """The runs that held a candidate against a champion, oldest first."""
    rows = {run.number: run for run in runs}
    found = []
    for number in sorted(rows):
        run = rows[number]
        paired = _paired(run)
        champion = rows.get(paired.get("champion_run", 0))
        if champion is not None:
            found.append(
                Trial(
                    run=number,
                    at_ms=trained_ms(run),
                    champion_ms=trained_ms(champion),
                    champion_error=paired["champion"],
                    candidate_error=paired["candidate"],
                    rows=paired["rows"],
                )
            )
    return tuple(found)


def last_training_ms(runs: Iterable[RunRow]) -> int:
    """Up to when the data of the newest run went that was judged, compared or not; 0 for none."""
    return max((trained_ms(run) for run in runs if run.verdict is not None), default=0)


def cost_of_newest(runs: Iterable[RunRow]) -> float | None:
    """What the newest run cost whose jobs' prices are known, in USD."""
    costs = {run.number: _paired(run).get("usd") for run in runs}
    known = [number for number, usd in costs.items() if usd]
    return costs[max(known)] if known else None


def _paired(run: RunRow) -> dict[str, Any]:
    text = run.verdict.paired if run.verdict is not None else ""
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def labelled_of(
    problem: str, windows: Iterable[WindowRow], runs: Iterable[RunRow]
) -> tuple[Labelled, ...]:
    """The model quality monitor's windows with labels whose figures say an error, oldest first."""
    rows = {run.number: run for run in runs}
    found = []
    for window in sorted(windows, key=lambda each: each.end_ms):
        figures = json.loads(window.figures).get("figures") or {}
        error = error_of(problem, _plain(figures))
        run = rows.get(window.run)
        if is_labelled(window) and error is not None and run is not None:
            others = _others(window, error, rows)
            found.append(Labelled(window.end_ms, error, window.labelled, trained_ms(run), others))
    return tuple(found)


def is_labelled(window: WindowRow) -> bool:
    """Whether a window was judged and has labels."""
    return window.state == "done" and window.labelled > 0


def _others(window: WindowRow, error: float, runs: Mapping[int, RunRow]) -> tuple[Scored, ...]:
    """The earlier versions that were scored on the window's rows, of runs that are known.

    What was measured is the difference to the live version, maybe on a sample of the rows.
    """
    return tuple(
        Scored(
            trained_ms(runs[each.run]),
            max(0.0, error - float(each.gain)),
            float(each.spread),
        )
        for each in window.earlier
        if each.gain and each.run in runs
    )


def choose_earlier(
    runs: Iterable[RunRow], live: RunRow, window: Window, most: int, last: WindowRow | None
) -> tuple[Earlier, ...]:
    """The versions to score on a window, by turns (`in_turn`); `last` is the one before it.

    They were replaced, or lost: all that these runs registered count, but those that may have
    learnt from the window's rows.
    """
    found = [
        Earlier(run.version.number, run.number)
        for run in sorted(runs, key=trained_ms, reverse=True)
        if run.version is not None
        and run.number != live.number
        and trained_ms(run) <= window.start_ms
    ]
    turn = window.start_ms // max(1, window.end_ms - window.start_ms)
    better = best_of(last)
    again = next((each for each in found if each.version == better), None)
    return tuple(in_turn(found, turn, most, again))


def best_of(window: WindowRow | None) -> int | None:
    """The version that did best on a window, of those that did better than the live one."""
    gains = (
        {each.version: float(each.gain) for each in window.earlier if each.gain} if window else {}
    )
    best = max(gains, key=lambda version: gains[version], default=None)
    return best if best is not None and gains[best] > 0 else None


def _plain(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if _is_finite(value)}
