"""What the ledger's rows say of a model's past, as the retrain policies read it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial.domain.ledger.monitor_rows import Earlier, WindowRow
from perennial.domain.ledger.rows import RunRow, Verdict, Version
from perennial.domain.monitor_windows import Window
from perennial.domain.retrain_history import (
    best_of,
    choose_earlier,
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


def made(number: int, **fields: Any) -> RunRow:
    """A run that registered a version of its number."""
    return run(number, version=Version(number, f"arn:{number}", "Approved"), **fields)


def test_earlier_versions_take_turns_on_windows_they_have_not_learnt_from():
    """Not the live one, none without a version, none that was trained while the window lasted."""
    runs = [made(1), made(2), made(3), run(4), made(6)]
    live = runs[1]

    def chosen(start_ms: int, most: int, last: WindowRow | None = None) -> list[int]:
        window = Window(start_ms, start_ms + 1000)
        return [each.version for each in choose_earlier(runs, live, window, most, last)]

    assert sorted(chosen(5000, 9)) == [1, 3]
    assert sorted(chosen(6000, 9)) == [1, 3, 6]
    assert chosen(3000, 1) != chosen(4000, 1)
    assert chosen(5000, 0) == []
    scored = (Earlier(1, 1, gain="0.1"), Earlier(3, 3, gain="0.2"), Earlier(6, 6, words="gone"))
    last = window(5000, {}, earlier=scored)
    assert [chosen(start, 1, last) for start in (6000, 7000, 8000)] == [[3]] * 3
    worse = window(5000, {}, earlier=(Earlier(1, 1, gain="0.0"), Earlier(3, 3, gain="-0.2")))
    assert best_of(worse) is None
    assert best_of(None) is None
    assert best_of(last) == 3


def test_what_was_scored_is_read_back_as_errors():
    """The live one's error less the gain, by the time of the version's training; what could not be
    scored, or whose run is forgotten, says nothing."""
    scored = (
        Earlier(3, 3, gain="0.05", spread="0.4"),
        Earlier(2, 2, gain="0.9", spread="0.1"),
        Earlier(4, 4, words="it failed"),
        Earlier(9, 9, gain="0.1", spread="0.1"),
    )
    runs = [made(number) for number in (1, 2, 3, 4)]
    (found,) = labelled_of("binary", [window(9000, {"accuracy": 0.8}, earlier=scored)], runs)
    assert found.error == pytest.approx(0.2)
    others = {each.trained_ms: (round(each.error, 9), each.spread) for each in found.others}
    assert others == {3000: (0.15, 0.4), 2000: (0.0, 0.1)}


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
