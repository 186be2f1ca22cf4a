"""What a check finds out beyond bad rows: windows, conflicts, leaks, and the files of facets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import ROOT, Done, Workbench, project_settings
from tests.jobs.test_sources import MODEL, SETTINGS, land, objects, project, table, text

LANDED_ONLY = SETTINGS.replace(", labelled-traffic: 1, reviews: 1", "")


@pytest.fixture(scope="module")
def bench(jobs_python: Path, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Jobs of a small project."""
    folder = tmp_path_factory.mktemp("findings")
    return Workbench(jobs_python, s3, folder, project(folder / "small", settings=LANDED_ONLY))


def rows_of(first: int, count: int, label: str = "") -> bytes:
    """Landed rows; every other one is a hit, or all have the one label."""
    lines = [
        f"{first + i},{'ab'[i // 2 % 2]},{label or ('no', 'yes')[i % 2]}" for i in range(count)
    ]
    return text("x,c,y", *lines)


def summary(done: Done) -> dict[str, Any]:
    """The check's summary."""
    assert done.code == 0, done.log
    found: dict[str, Any] = done.json("check/summary.json")
    return found


def test_a_window_of_rows_keeps_the_newest(bench: Workbench) -> None:
    """By the time they landed, whatever the keys' order; the rest is counted and told."""
    settings = project_settings(bench.project, data__window={"rows": 100})
    entries = [
        land(bench, "incoming/small/z-old.csv", rows_of(0, 80), 1_000),
        land(bench, "incoming/small/a-new.csv", rows_of(100, 60), 3_000),
        land(bench, "incoming/small/m-middle.csv", rows_of(200, 60), 2_000),
    ]
    done = bench.check(settings, entries, name="window")
    rows = summary(done)["rows"]
    assert (rows["read"], rows["good"], rows["outside"]) == (200, 100, 100)
    kept = sorted(row["x"] for row in table(bench, done))
    assert kept == [*range(100, 160), *range(220, 260)]
    report = done.json("check/report.json")
    assert report["window"] == {"kind": "rows", "rows": 100, "seconds": 0}
    assert report["labels"] == {"oldest_ms": 2_000, "newest_ms": 3_000}
    assert "100 older rows outside the data window" in done.message
    outside = {key[-7:-4]: entry["outside_rows"] for key, entry in objects(done).items()}
    assert outside == {"old": 80, "new": 0, "dle": 20}
    assert not any(entry["quarantined"] for entry in objects(done).values())


def test_a_window_counts_rows_after_replacement(bench: Workbench) -> None:
    """A row that a later one replaces takes no place in the window."""
    settings = project_settings(bench.project, data__window={"rows": 40}, data__identity=["x"])
    entries = [
        land(bench, "incoming/small/old.csv", rows_of(0, 40), 1_000),
        land(bench, "incoming/small/new.csv", rows_of(20, 40), 2_000),
    ]
    rows = summary(bench.check(settings, entries, name="replaced"))["rows"]
    assert (rows["replaced"], rows["outside"], rows["good"]) == (20, 20, 40)


def test_a_constant_label_in_the_window_is_refused(bench: Workbench) -> None:
    """Older rows with the other label do not help: the run would not learn from them."""
    settings = project_settings(bench.project, data__window={"rows": 50})
    entries = [
        land(bench, "incoming/small/old.csv", rows_of(0, 100), 1_000),
        land(bench, "incoming/small/new.csv", rows_of(100, 50, "no"), 2_000),
    ]
    found = summary(bench.check(settings, entries, name="constant"))
    assert found["refused"]
    assert found["reason"] == "one class only: every training row has y no"


def test_conflicting_labels_are_counted(bench: Workbench) -> None:
    """Rows whose identity came with different labels, with the first of them; none is dropped."""
    settings = project_settings(bench.project)
    same = text("x,c,y", "500,a,yes", "500,a,no", "500,a,yes", "501,a,no", "501,a,no")
    entries = [
        land(bench, "incoming/small/base.csv", rows_of(0, 60)),
        land(bench, "incoming/small/same.csv", same),
        land(bench, "incoming/small/again.csv", text("x,c,y", "0,a,yes")),
    ]
    done = bench.check(settings, entries, name="conflicts")
    conflicts = done.json("check/report.json")["conflicts"]
    assert (conflicts["rows"], conflicts["identities"]) == (5, 2)
    assert sorted(json.dumps(each["labels"]) for each in conflicts["first"]) == [
        '{"no": 1, "yes": 1}',
        '{"no": 1, "yes": 2}',
    ]
    assert all(len(each["row"]) == 32 for each in conflicts["first"])
    assert summary(done)["rows"]["good"] == 66


def test_replaced_rows_of_another_label_are_conflicts_too(bench: Workbench) -> None:
    """A correction and a contradiction look alike: both are told."""
    settings = project_settings(bench.project, data__identity=["x"])
    entries = [
        land(bench, "incoming/small/base.csv", rows_of(0, 60), 1_000),
        land(bench, "incoming/small/again.csv", text("x,c,y", "0,a,yes"), 2_000),
    ]
    done = bench.check(settings, entries, name="corrected")
    assert done.json("check/report.json")["conflicts"]["rows"] == 2
    assert summary(done)["rows"]["replaced"] == 1


LEAKY = """
problem: binary
label: y
positive: "yes"
data:
  columns:
    x: float
    copy: {type: category, open: true}
    code: int
    name: string
    half: {type: category, open: true}
    y: {type: category, levels: ["no", "yes"]}
  min_rows: 10
"""


def test_features_that_give_the_label_away_are_named(bench: Workbench, tmp_path: Path) -> None:
    """Equal, or of one label a value; not an identifier, nor a feature that is nearly one."""
    own = Workbench(bench.python, bench.s3, tmp_path, project(tmp_path / "small", MODEL, LEAKY))
    lines = ["x,copy,code,name,half,y"]
    for i in range(400):
        y = ("no", "yes")[i % 2]
        half = y if i else "yes"
        lines.append(f"{i // 4},{y},{10 * (i % 2) + i % 4},n{i},{half},{y}")
    entries = [land(own, "incoming/small/a.csv", text(*lines))]
    done = own.check(project_settings(own.project), entries, name="leaks")
    leaks = {leak["feature"]: leak for leak in done.json("check/report.json")["leaks"]}
    assert {name: leak["rule"] for name, leak in leaks.items()} == {
        "copy": "equals",
        "code": "determines",
    }
    assert leaks["copy"]["words"] == "copy equals y in each of 400 rows"
    assert leaks["code"]["words"] == (
        "code determines y: in 400 rows each of its 4 values comes with one y only"
    )
    few = [land(own, "incoming/small/few.csv", text(*lines[:91]))]
    assert (
        own.check(project_settings(own.project), few, name="few").json("check/report.json")["leaks"]
        == []
    )


def test_a_number_that_the_label_repeats_is_named(bench: Workbench, tmp_path: Path) -> None:
    """Regression: equal in all rows, whatever the types; what is only close is no leak."""
    settings = """
problem: regression
label: y
data:
  columns: {x: float, whole: int, near: float, shifted: float, y: float}
  min_rows: 10
"""
    own = Workbench(bench.python, bench.s3, tmp_path, project(tmp_path / "small", MODEL, settings))
    lines = [
        f"{i * 7 % 31},{i % 40},{i % 40 + 0.001 * i},{i % 40 + 1.5},{i % 40}" for i in range(800)
    ]
    entries = [land(own, "incoming/small/a.csv", text("x,whole,near,shifted,y", *lines))]
    done = own.check(project_settings(own.project), entries, name="numbers")
    leaks = done.json("check/report.json")["leaks"]
    assert [(leak["feature"], leak["rule"]) for leak in leaks] == [
        ("whole", "equals"),
        ("shifted", "determines"),
    ]


def test_genuine_data_have_no_leak(census: Workbench, adult: str) -> None:
    """UCI Adult: no feature gives the income away; some people differ in nothing but income."""
    done = census.check(
        project_settings(census.project),
        [census.land("incoming/census/uci/adult.csv", adult.encode())],
        name="genuine",
    )
    report = done.json("check/report.json")
    assert report["leaks"] == []
    assert report["producers"] == {"uci": 32_561}
    assert 0 < report["conflicts"]["rows"] < 50
    assert len(report["conflicts"]["first"]) == min(5, report["conflicts"]["identities"])


@pytest.fixture(scope="module")
def checks(jobs_python: Path) -> dict[str, Any]:
    """What findings_checks.py finds out with random rows."""
    done = subprocess.run(
        [jobs_python, "-W", "error", ROOT / "tests/jobs/findings_checks.py"],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_conflicts_equal_a_plain_count(checks: dict[str, Any]) -> None:
    """On random identities and labels, the sorted passes find what a dictionary finds."""
    assert checks["conflicts"]
    assert all(found == expected for found, expected in checks["conflicts"])


def test_leaks_equal_a_plain_search(checks: dict[str, Any]) -> None:
    """In any cut of the rows into tables, the watch finds what a look at all rows finds."""
    assert any(expected for _, expected in checks["leaks"])
    assert all(found == expected for found, expected in checks["leaks"])


def test_calibration_and_residuals_add_up(checks: dict[str, Any]) -> None:
    """Each row is in one bin; the bins' shares and scores average to those of all rows."""
    for bins, rows, share, mean in checks["calibration"]:
        assert sum(each["rows"] for each in bins) == rows
        weighted = sum(each["rows"] * each["share"] for each in bins) / rows
        assert weighted == pytest.approx(share)
        assert sum(each["rows"] * each["mean_score"] for each in bins) / rows == pytest.approx(mean)
        assert all(each["from"] - 1e-9 <= each["mean_score"] <= each["to"] + 1e-9 for each in bins)
    for found, rows, mean in checks["residuals"]:
        assert sum(found["counts"]) == rows
        assert len(found["edges"]) == len(found["counts"]) + 1
        assert found["mean"] == pytest.approx(mean)
        assert found["p5"] <= found["p50"] <= found["p95"]
