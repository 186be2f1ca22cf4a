"""What train() is given besides rows and hyperparameters, and what training leaves behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import Done, Workbench, project_settings
from tests.jobs.test_findings import LANDED_ONLY, rows_of
from tests.jobs.test_sources import MODEL, land, project

ROUNDS = {"rounds": "60", "early_stopping": "60"}


@pytest.fixture(scope="module")
def checked(census: Workbench, adult: str) -> Done:
    """A check of 6,000 genuine rows."""
    body = "\n".join(adult.splitlines()[:6001]).encode()
    settings = project_settings(census.project)
    return census.check(settings, [census.land("aids.csv", body)], name="aids")


def learn(census: Workbench, checked: Done, name: str, kept: Path | None, **given: str) -> Done:
    """A training job; `kept` is what an interrupted attempt left in its checkpoints' folder."""
    spot = {"train__spot": True, "train__max_wait": "2h"}
    settings = project_settings(census.project, **(spot if kept else {}))
    base = census.folder / name
    done = census.train(
        settings, checked, name=name, prepare=lambda: _restore(base, kept), **(ROUNDS | given)
    )
    assert done.code == 0, done.log
    return done


def _restore(base: Path, kept: Path | None) -> None:
    if kept is not None:
        shutil.copytree(kept, base / "checkpoints", dirs_exist_ok=True)


def learning(done: Done) -> dict[str, Any]:
    """The learning curve in the model archive."""
    found: dict[str, Any] = json.loads((done.base / "model" / "learning.json").read_text())
    return found


def trees(done: Done) -> int:
    """How many trees the model has."""
    return (done.base / "model" / "model.txt").read_text().count("\nTree=")


@pytest.fixture(scope="module")
def whole(census: Workbench, checked: Done, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A training of 60 rounds that nothing interrupts."""
    return learn(census, checked, "aids-whole", tmp_path_factory.mktemp("none"))


def test_the_learning_curve_is_kept_and_printed(whole: Done) -> None:
    """Every tenth round, with the figures of both parts; a metric line for each."""
    rounds = learning(whole)["rounds"]
    assert [each["round"] for each in rounds] == list(range(10, 61, 10))
    assert all(set(each) == {"round", "train_auc", "validation_auc"} for each in rounds)
    assert rounds[0]["train_auc"] < rounds[-1]["train_auc"] <= 1
    lines = re.findall(
        r"^round=(\d+); train_auc=([0-9.]+); validation_auc=([0-9.]+);$", whole.log, re.MULTILINE
    )
    assert [int(line[0]) for line in lines] == [each["round"] for each in rounds]
    assert float(lines[-1][1]) == pytest.approx(rounds[-1]["train_auc"], abs=1e-9)


def test_the_gap_is_kept_and_printed(whole: Done) -> None:
    """The headline figure on rows that were learned from, and on those that were not."""
    gap = learning(whole)["gap"]
    assert gap["metric"] == "auc"
    assert 0.8 < gap["validation"] < gap["train"] <= 1
    assert f"\ntrain_auc={gap['train']:.10g};" in whole.log
    assert f"\nvalidation_auc={gap['validation']:.10g};" in whole.log
    assert f"\nauc={gap['validation']:.10g};" in whole.log


def test_an_interrupted_training_trains_only_the_missing_rounds(
    census: Workbench, checked: Done, whole: Done, tmp_path: Path
) -> None:
    """A first attempt came to round 30; the second says so, and reports from there on."""
    first = learn(census, checked, "aids-first", tmp_path, rounds="30")
    left = first.base / "checkpoints"
    assert "checkpoint:" not in first.log
    second = learn(census, checked, "aids-second", left)
    assert "checkpoint: 30 of 60 rounds are done; training the missing 30" in second.log
    assert [each["round"] for each in learning(second)["rounds"]] == [40, 50, 60]
    assert trees(second) == trees(whole)
    assert learning(second)["gap"]["validation"] == pytest.approx(
        learning(whole)["gap"]["validation"], abs=0.01
    )


def test_a_finished_checkpoint_needs_no_round(
    census: Workbench, checked: Done, whole: Done
) -> None:
    """An interruption after the last round costs nothing, and the model is the same."""
    again = learn(census, checked, "aids-again", whole.base / "checkpoints")
    assert "checkpoint: 60 of 60 rounds are done; training the missing 0" in again.log
    assert trees(again) == trees(whole)
    assert learning(again)["gap"] == pytest.approx(learning(whole)["gap"])


def _cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def _changed(body: bytes) -> bytes:
    head, _, text = body.partition(b"\n")
    return head + b"\n" + text.replace(b"leaf_value=", b"leaf_value=9", 1)


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "it is damaged (JSONDecodeError)"),
    "cut": (_cut, "it is damaged (its content is not what was written)"),
    "binary": (lambda _: bytes(range(256)), "it is damaged (UnicodeDecodeError)"),
    "changed": (_changed, "it is damaged (its content is not what was written)"),
    "no object": (lambda _: b"[]\n", "it is damaged (TypeError)"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_said_and_ignored(
    name: str, census: Workbench, checked: Done, whole: Done, tmp_path: Path
) -> None:
    """The training starts afresh and ends as if there had been none."""
    damage, words = DAMAGE[name]
    body = (whole.base / "checkpoints" / "checkpoint.txt").read_bytes()
    (tmp_path / "checkpoint.txt").write_bytes(damage(body))
    done = learn(census, checked, "aids-damaged", tmp_path)
    assert f"checkpoint ignored: {words}; the training starts afresh" in done.log
    same = [(each.base / "model" / "model.txt").read_bytes() for each in (done, whole)]
    assert same[0] == same[1]


def test_a_checkpoint_of_other_hyperparameters_is_ignored(
    census: Workbench, checked: Done, whole: Done
) -> None:
    """A trial of a tuning job must not go on from another trial's trees."""
    left = whole.base / "checkpoints"
    done = learn(census, checked, "aids-other", left, num_leaves="7")
    assert "checkpoint ignored: it is of other hyperparameters or other data" in done.log
    assert learning(done)["rounds"][0]["round"] == 10


def test_early_stopping_survives_an_interruption(
    census: Workbench, checked: Done, tmp_path: Path
) -> None:
    """The best round so far is part of the checkpoint: patience does not begin anew."""
    given = {"rounds": "400", "early_stopping": "15", "learning_rate": "0.5"}
    whole = learn(census, checked, "aids-early", tmp_path, **given)
    best = trees(whole)
    assert best < 100
    again = learn(census, checked, "aids-late", whole.base / "checkpoints", **given)
    assert trees(again) == best
    assert len(learning(again)["rounds"]) == 1


def test_a_job_without_checkpoints_keeps_none(
    census: Workbench, checked: Done, whole: Done
) -> None:
    """On demand nothing interrupts a training, and nothing is written."""
    done = learn(census, checked, "aids-plain", None)
    assert not (done.base / "checkpoints").exists()
    assert trees(done) == trees(whole)


@pytest.fixture(scope="module")
def small(jobs_python: Path, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for small projects."""
    return tmp_path_factory.mktemp("aids")


def run(census: Workbench, folder: Path, name: str, model: str, **given: str) -> Done:
    """Check and train a small project with this model.py."""
    own = Workbench(
        census.python,
        census.s3,
        folder / name,
        project(folder / name / "small", model, LANDED_ONLY),
    )
    settings = project_settings(own.project)
    entries = [land(own, "incoming/small/a.csv", rows_of(0, 200))]
    return own.train(settings, own.check(settings, entries), **given)


def test_train_gets_what_its_signature_names(census: Workbench, small: Path) -> None:
    """In any order, as plain parameters too; no checkpoints are None."""
    model = MODEL.replace(
        "hyperparameters):",
        "hyperparameters, report, checkpoints):\n"
        "    assert checkpoints is None\n"
        "    report(round=1, loss=0.5, nothing=float('nan'))",
    )
    done = run(census, small, "named", model)
    assert done.code == 0, done.log
    assert done.log.startswith("round=1; loss=0.5;\n")
    assert learning(done)["rounds"] == [{"round": 1, "loss": 0.5}]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("report(round='x')", "report() takes a whole number as round, not 'x'"),
        ("report(round=1, loss='low')", "report() takes numbers; loss is 'low'"),
        ("report(loss=1)", "missing 1 required positional argument"),
    ],
)
def test_a_report_without_figures_names_the_line(
    call: str, words: str, census: Workbench, small: Path
) -> None:
    """A wrong call is a fault of model.py, told as such."""
    name = f"wrong{len(call)}"
    done = run(
        census,
        small,
        name,
        MODEL.replace("hyperparameters):", f"hyperparameters, report):\n    {call}"),
    )
    assert done.code == 1
    assert done.failure.startswith("ModelError: train() in model.py of small raised")
    assert words in done.failure
    assert "model.py line 6" in done.failure


def test_many_rounds_are_thinned(census: Workbench, small: Path) -> None:
    """The curve stays small enough for a verdict; its ends are kept, and all is printed."""
    model = MODEL.replace(
        "hyperparameters):",
        "hyperparameters, report):\n    [report(round=i, loss=1 / i) for i in range(1, 1001)]",
    )
    done = run(census, small, "many", model)
    rounds = [each["round"] for each in learning(done)["rounds"]]
    assert (len(rounds), rounds[0], rounds[-1]) == (200, 1, 1000)
    assert rounds == sorted(set(rounds))
    assert "\nround=777; loss=" in done.log


def test_a_trials_hyperparameters_are_read_as_values(census: Workbench, small: Path) -> None:
    """A tuning job hands over texts; what a trial was not given stays as the settings have it."""
    model = MODEL.replace('"rows": len(train)', '"rows": len(train), "given": hyperparameters')
    done = run(
        census,
        small,
        "trial",
        model,
        depth="7",
        rate="0.125",
        kind="gbdt",
        deep="true",
        names='"quoted"',
        _tuning_objective_metric="auc",
        sagemaker_job_name="x",
    )
    found = json.loads((done.base / "model" / "model.json").read_text())["given"]
    assert found == {
        "seed": 0,
        "depth": 7,
        "rate": 0.125,
        "kind": "gbdt",
        "deep": True,
        "names": "quoted",
    }


def test_reports_are_logged_beyond_the_logs_limit(census: Workbench, small: Path) -> None:
    """A noisy training loses its noise, not its learning curve."""
    noise = "\n    print(('x' * 1000 + chr(10)) * 2000)\n    report(round=3, loss=0.25)"
    model = MODEL.replace("hyperparameters):", f"hyperparameters, report):{noise}")
    done = run(census, small, "noisy", model)
    assert done.code == 0
    assert len(done.log) < 1_200_000
    assert "\nround=3; loss=0.25;\n" in done.log
