"""What the ledger's rows say of a model's past, as the retrain policies read it."""

from __future__ import annotations

import json
from typing import Any

from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.ledger.rows import RunRow, Verdict
from perennial.domain.retrain_history import (
    cost_of_newest,
    labelled_of,
    last_training_ms,
    paired_text,
    trials_of,
)

COMPARISON = {
    "rows": 500,
    "metrics": {
        "auc": {"candidate": 0.9, "champion": 0.8},
        "accuracy": {"candidate": 0.85, "champion": 0.75},
    },
}


def run(number: int, paired: str | None = None, **fields: Any) -> RunRow:
    """A run whose manifest was closed at its number, in seconds."""
    verdict = None if paired is None else Verdict("s3://v", "d", True, paired=paired)
    given = {"opened_ms": number * 1000 - 500, "claimed_ms": number * 1000, **fields}
    return RunRow("census", number, 1, verdict=verdict, **given)


def window(end_ms: int, figures: dict[str, float], **fields: Any) -> WindowRow:
    """A window of run 1's version that was judged."""
    given = {"run": 1, "state": "done", "labelled": 90, "rows": 100, **fields}
    text = json.dumps({"figures": figures})
    return WindowRow(
        "census", "model-quality", 0, end_ms, 1, 1, settings=1, opened_ms=0, figures=text, **given
    )


def test_a_verdict_s_row_keeps_both_errors_and_the_cost():
    """What a run writes down is what trials are read from, champion and candidate by their runs."""
    text = paired_text("binary", COMPARISON, 1, 0.25)
    (found,) = trials_of([run(2, text), run(1, "")])
    assert (found.run, found.at_ms, found.champion_ms, found.rows) == (2, 2000, 1000, 500)
    assert round(found.gain, 9) == 0.1
    assert cost_of_newest([run(1, paired_text("binary", None, None, 9.0)), run(2, text)]) == 0.25


def test_what_no_figure_says_is_not_made_up():
    """Without a champion, a comparison or its figure there is no trial; a cost stays a cost."""
    assert paired_text("binary", None, None, None) == ""
    assert paired_text("binary", {"rows": 5, "metrics": {"auc": {"candidate": 1.0}}}, 1, None) == ""
    gap = {"rows": 5, "metrics": {"accuracy": {"candidate": 0.9, "champion": None}}}
    assert json.loads(paired_text("binary", gap, 1, 0.5)) == {"usd": 0.5}
    assert trials_of([run(1, ""), run(2, json.dumps({"usd": 0.5})), run(3)]) == ()
    assert cost_of_newest([run(1), run(2, "")]) is None


def test_a_champion_that_is_forgotten_is_no_trial():
    """A comparison with a run that is not read any more has no age to learn from."""
    assert trials_of([run(9, paired_text("binary", COMPARISON, 1, None))]) == ()


def test_the_newest_training_counts_compared_or_not():
    """A period counts from the last run with a verdict; one that failed trained nothing."""
    assert last_training_ms([run(1, ""), run(2, ""), run(3)]) == 2000
    assert last_training_ms([]) == 0


def test_windows_are_those_with_labels_and_an_error():
    """Empty, failed, unlabelled windows and those without the figure say nothing."""
    windows = [
        window(9000, {"accuracy": 0.7}),
        window(8000, {"accuracy": 0.8}),
        window(7000, {"accuracy": 0.8}, labelled=0),
        window(6000, {"accuracy": 0.8}, state="failed"),
        window(5000, {"auc": 0.8}),
        window(4000, {"accuracy": 0.8}, run=77),
    ]
    found = labelled_of("binary", windows, [run(1)])
    assert [(each.end_ms, round(each.error, 9), each.rows) for each in found] == [
        (8000, 0.2, 90),
        (9000, 0.3, 90),
    ]
    assert {each.trained_ms for each in found} == {1000}
