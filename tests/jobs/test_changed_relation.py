"""A changed relation on Adult: which holdout is asked decides which of two models wins.

In the second half of UCI Adult the income of everybody who works more than 40 hours is turned
round. The champion learned the first half, the candidate only the data window of the second. On
the old holdout the right candidate loses; on current data it wins.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from perennial.domain import manifest
from perennial.domain.settings import Window
from perennial.domain.signals import ObjectVersion
from perennial.domain.window import span_of

from tests.jobs.conftest import Done, Workbench, project_settings
from tests.jobs.test_loop import read_parquet
from tests.unit.domain.ledger_builders import drift, row

OLD_MS, ALARM_MS, NEW_MS = 1_800_000_000_000, 1_800_000_100_000, 1_800_000_200_000
ALARM = "2027-01-15T08:01:40.000+0000"
HOURS, INCOME = 12, 14


def turned(line: str) -> str:
    """The row as it is after the change."""
    cells = [cell.strip() for cell in line.split(",")]
    if int(cells[HOURS]) > 40:
        cells[INCOME] = ">50K" if cells[INCOME] == "<=50K" else "<=50K"
    return ",".join(cells)


@pytest.fixture(scope="module")
def landed(census: Workbench, adult: str) -> list[dict[str, Any]]:
    """Two objects: before and after the change."""
    header, *rows = filter(None, adult.splitlines())
    half = len(rows) // 2
    bodies = {"old.csv": rows[:half], "new.csv": [turned(line) for line in rows[half:]]}
    entries = [
        census.land(f"incoming/census/changed/{name}", "\n".join([header, *lines]).encode())
        for name, lines in bodies.items()
    ]
    for entry, at_ms in zip(entries, (OLD_MS, NEW_MS), strict=True):
        entry["last_modified_ms"] = at_ms
    return entries


def listed(landed: list[dict[str, Any]], window: Window) -> list[dict[str, Any]]:
    """What the manifest of a run lists that a drift alarm between the objects called for."""
    signal = drift().signal
    alarm = row(type(signal)("census", "drift", ("alarm", ALARM), {}), admitted_ms=NEW_MS)
    found = manifest.build(
        ("census", 2),
        [ObjectVersion(**entry) for entry in landed],
        select=["*.csv"],
        left_out=(),
        created_ms=NEW_MS + 1,
        span=span_of(window, NEW_MS + 1, [alarm]),
    )
    objects: list[dict[str, Any]] = json.loads(found.body)["objects"]
    return objects


@pytest.fixture(scope="module")
def runs(census: Workbench, landed: list[dict[str, Any]]) -> dict[str, Done]:
    """The champion's run before the change, and the candidate's with the window of the alarm."""
    settings = project_settings(census.project)
    found = {}
    for name, entries in (
        ("old", landed[:1]),
        ("new", listed(landed, Window("since_drift"))),
    ):
        found[f"{name} check"] = census.check(settings, entries, name=f"changed-{name}")
        found[f"{name} model"] = census.train(
            settings, found[f"{name} check"], name=f"changed-{name}-train"
        )
        assert found[f"{name} model"].code == 0, found[f"{name} model"].log
    return found


def f1(census: Workbench, runs: dict[str, Done], model: str, holdout: str) -> float:
    """What a model scores on a holdout."""
    settings = project_settings(census.project)
    name = f"changed-{model}-on-{holdout}"
    done = census.evaluate(settings, runs[f"{holdout} check"], runs[f"{model} model"], name=name)
    assert done.code == 0, done.log
    value: float = done.json("evaluation/evaluation.json")["perennial"]["metrics"]["f1"]
    return value


def test_the_right_candidate_wins_on_current_data(census: Workbench, runs: dict[str, Done]) -> None:
    """And would lose where only the past is asked: the holdout is the run's own window's."""
    on_new = {model: f1(census, runs, model, "new") for model in ("old", "new")}
    on_old = {model: f1(census, runs, model, "old") for model in ("old", "new")}
    assert on_new["new"] - on_new["old"] > 0.15, on_new
    assert on_old["old"] - on_old["new"] > 0.10, on_old


def test_windows_of_days_drift_and_rows_agree(
    census: Workbench, landed: list[dict[str, Any]], runs: dict[str, Done]
) -> None:
    """Cut by the manifest or by the check: the same rows, on the same sides."""
    days = listed(landed, Window("days", seconds=(NEW_MS - ALARM_MS) // 1000))
    assert days == listed(landed, Window("since_drift"))
    assert [entry["key"] for entry in days] == ["incoming/census/changed/new.csv"]
    new = runs["new check"].json("check/summary.json")["rows"]["good"]
    settings = project_settings(census.project, data__window={"rows": new})
    everything = listed(landed, settings.data.window)
    assert len(everything) == 2
    by_rows = census.check(settings, everything, name="changed-rows")
    assert by_rows.json("check/summary.json")["rows"]["outside"] == 16_280
    for name in ("holdout", "training"):
        rows = [
            read_parquet(census, done, f"{name}/rows.parquet", "__row")
            for done in (by_rows, runs["new check"])
        ]
        assert rows[0] == rows[1]


def test_the_old_holdout_stays_out_of_the_window_of_all(
    census: Workbench, landed: list[dict[str, Any]], runs: dict[str, Done]
) -> None:
    """A row that was held out once is held out in every later run, whatever its window."""
    settings = project_settings(census.project)
    done = census.check(settings, listed(landed, Window()), name="changed-all")
    held = set(read_parquet(census, done, "holdout/rows.parquet", "__row"))
    trained = set(read_parquet(census, done, "training/rows.parquet", "__row"))
    for name in ("old check", "new check"):
        before = set(read_parquet(census, runs[name], "holdout/rows.parquet", "__row"))
        assert before <= held
        assert not before & trained
