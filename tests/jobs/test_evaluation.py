"""What an evaluation holds beyond figures, and rows that were checked by another schema."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import Done, Workbench, project_settings
from tests.jobs.test_sources import land, project, text

SETTINGS = """
problem: binary
label: y
positive: "yes"
facets: {c: {}}
data:
  columns:
    x: {type: float, min: 0, max: 1000}
    n: {type: int, required: false}
    c: {type: category, levels: [a, b]}
    o: {type: category, open: true}
    y: {type: category, levels: ["no", "yes"]}
  min_rows: 10
"""
MODEL = """
def prepare(frame):
    return frame[["x", "o"]]

def train(train, validation, hyperparameters):
    return {"middle": float(train["x"].mean())}

def predict(model, frame):
    return (frame["x"] > model["middle"]) * 0.8 + 0.1
"""
HEADER = "x,n,c,o,y"
ROWS = [
    f"{i % 200},{i % 5},{'ab'[i % 2]},{'pq'[i % 3 % 2]},{('no', 'yes')[i // 100 % 2]}"
    for i in range(400)
]


@pytest.fixture(scope="module")
def bench(jobs_python: Path, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Jobs of the small project: the champion's code and settings."""
    folder = tmp_path_factory.mktemp("champion")
    return Workbench(jobs_python, s3, folder, project(folder / "small", MODEL, SETTINGS))


@pytest.fixture(scope="module")
def checked(bench: Workbench) -> Done:
    """The champion's own check."""
    settings = project_settings(bench.project)
    return bench.check(settings, [land(bench, "incoming/small/a.csv", text(HEADER, *ROWS))])


@pytest.fixture(scope="module")
def champion(bench: Workbench, checked: Done) -> Done:
    """The champion's training."""
    done = bench.train(project_settings(bench.project), checked)
    assert done.code == 0, done.log
    return done


def section(done: Done) -> dict[str, Any]:
    """Our part of the evaluation."""
    assert done.code == 0, done.log
    found: dict[str, Any] = done.json("evaluation/evaluation.json")["perennial"]
    return found


def test_an_evaluation_says_what_serving_costs(
    bench: Workbench, checked: Done, champion: Done
) -> None:
    """Milliseconds of one request, bytes of the unpacked model; both also as figures for gates."""
    found = section(bench.evaluate(project_settings(bench.project), checked, champion))
    latency = found["latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"]
    assert latency["rows"] == min(200, found["rows"])
    files = (champion.base / "model").iterdir()
    assert found["model_bytes"] == sum(path.stat().st_size for path in files)
    assert found["metrics"]["latency_p99_ms"] == latency["p99"]
    assert found["metrics"]["model_mb"] == found["model_bytes"] / 1e6
    assert found["foreign"] == {}
    assert found["learning"] == {"rounds": []}
    assert found["gap"]["metric"] == "auc"


def test_an_evaluation_shows_the_shape_of_a_binary_problem(
    bench: Workbench, checked: Done, champion: Done
) -> None:
    """Two scores give two bins; rows and shares are those of the predictions."""
    done = bench.evaluate(project_settings(bench.project), checked, champion, name="shape")
    bins = section(done)["calibration"]
    assert [(each["from"], each["to"]) for each in bins] == [(0.1, 0.2), (0.9, 1.0)]
    assert sum(each["rows"] for each in bins) == section(done)["rows"]
    assert "residuals" not in section(done)


def test_an_evaluation_shows_the_errors_of_a_regression(
    jobs_python: Path, s3: Any, abalone: str, tmp_path: Path
) -> None:
    """Abalone: a histogram of all rows, the learning curve and the gap in rings."""
    from tests.jobs.conftest import ROOT

    own = Workbench(jobs_python, s3, tmp_path, ROOT / "models/abalone")
    settings = project_settings(own.project)
    checked = own.check(settings, [own.land("incoming/abalone/a.csv", abalone.encode())])
    trained = own.train(settings, checked)
    assert trained.code == 0, trained.log
    found = section(own.evaluate(settings, checked, trained))
    assert sum(found["residuals"]["counts"]) == found["rows"]
    assert abs(found["residuals"]["mean"]) < 0.5
    assert "calibration" not in found
    assert found["gap"]["metric"] == "rmse"
    assert found["gap"]["train"] < found["gap"]["validation"] < 3
    assert set(found["learning"]["rounds"][0]) == {"round", "train_rmse", "validation_rmse"}


def holdout(bench: Workbench, checked: Done, name: str, change: str) -> Done:
    """A check whose holdout was changed by some Python over `t`, a pyarrow table."""
    base = bench.folder / f"changed-{name}"
    if base.exists():
        shutil.rmtree(base)
    shutil.copytree(checked.base, base)
    path = base / "processing/output/holdout/rows.parquet"
    code = (
        "import sys,pyarrow as pa,pyarrow.compute as pc,pyarrow.parquet as q;"
        "t=q.read_table(sys.argv[1]);put=lambda n,v:t.set_column(t.column_names.index(n),n,v);"
        f"{change};q.write_table(t,sys.argv[1])"
    )
    subprocess.run([bench.python, "-c", code, str(path)], check=True)
    return Done(0, "", base)


FIRST_THREE = "[{} if i<3 else v for i,v in enumerate(t.column('{}').to_pylist())]"
FOREIGN = {
    "a column that is gone": (
        "t=t.drop_columns(['x'])",
        "it needs column x, which these rows do not have",
    ),
    "another type": (
        "t=put('x',pc.cast(t.column('x'),pa.string()))",
        "it needs x as float, which is now string",
    ),
    "a number with a fraction": (
        "t=put('n',pc.add(pc.cast(t.column('n'),pa.float64()),0.5))",
        "it needs n as int, which is now double",
    ),
    "a new level of a closed column": (
        f"t=put('c',pa.array({FIRST_THREE.format(repr('z'), 'c')}))",
        "c has levels it does not know in 3 rows (z)",
    ),
    "a value that is missing": (
        f"t=put('x',pa.array({FIRST_THREE.format('None', 'x')}))",
        "x has no value in 3 rows, but needs one",
    ),
    "a new class": (
        f"t=put('y',pa.array({FIRST_THREE.format(repr('perhaps'), 'y')}))",
        "y has levels it does not know in 3 rows (perhaps)",
    ),
    "a label that is gone": (
        "t=t.drop_columns(['y'])",
        "it needs column y, which these rows do not have",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_rows_of_another_schema_cannot_be_scored(
    name: str, bench: Workbench, checked: Done, champion: Done
) -> None:
    """The champion's server would refuse such requests, so there is no honest score: each
    difference is named, and rows are counted."""
    change, words = FOREIGN[name]
    changed = holdout(bench, checked, "refused", change)
    done = bench.evaluate(project_settings(bench.project), changed, champion, name="foreign")
    assert done.code == 1, done.log
    assert done.failure.startswith("OtherSchema: the champion was trained on another schema: ")
    assert words in done.failure, done.failure
    assert not (done.output("evaluation") / "evaluation.json").exists()


SCORED = {
    "a new level of an open column": (
        f"t=put('o',pa.array({FIRST_THREE.format(repr('z'), 'o')}))",
        {"o": {"unseen": 3}},
    ),
    "numbers beyond the range": (
        f"t=put('x',pa.array({FIRST_THREE.format('5000.0', 'x')}))",
        {"x": {"outside": 3}},
    ),
    "whole numbers as fractions": (
        "t=put('n',pc.cast(t.column('n'),pa.float64()))",
        {},
    ),
    "whole numbers for fractions": (
        "t=put('x',pc.cast(t.column('x'),pa.int64()))",
        {},
    ),
    "columns that are new": ("t=t.append_column('later',t.column('x'))", {}),
    "a value that may be missing": (f"t=put('n',pa.array({FIRST_THREE.format('None', 'n')}))", {}),
}


@pytest.mark.parametrize("name", SCORED)
def test_rows_of_a_similar_schema_are_scored(
    name: str, bench: Workbench, checked: Done, champion: Done
) -> None:
    """As requests would be; what the model never saw is counted by column."""
    change, foreign = SCORED[name]
    changed = holdout(bench, checked, "scored", change)
    done = bench.evaluate(project_settings(bench.project), changed, champion, name="similar")
    assert section(done)["foreign"] == foreign


TASKS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "positive": ({"positive": "no"}, "its positive is yes, now no"),
    "problem": (
        {"problem": "multiclass", "positive": ""},
        "its problem is binary, now multiclass; its positive is yes, now (none)",
    ),
    "label": ({"label": "c"}, "its label is y, now c"),
}


@pytest.mark.parametrize("name", TASKS)
def test_another_question_has_no_comparable_answer(
    name: str, bench: Workbench, checked: Done, champion: Done
) -> None:
    """The present run's schema says what is asked now: a turned positive class would turn every
    figure."""
    changed = holdout(bench, checked, "task", "t=t")
    path = changed.base / "processing/output/check/schema.json"
    schema = json.loads(path.read_text()) | dict(TASKS[name][0])
    path.write_text(json.dumps(schema))
    done = bench.evaluate(project_settings(bench.project), changed, champion, name="question")
    assert done.code == 1
    assert TASKS[name][1] in done.failure, done.failure
