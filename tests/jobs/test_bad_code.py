"""A project whose model.py misbehaves: each kind fails with a text that says what and why."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import ROOT, Done, Workbench, project_settings

SETTINGS = """
problem: regression
label: y
data:
  columns: {x: float, c: {type: category, open: true}, y: float}
train: {max_seconds: 60}
gates: {rmse: {max: 2}}
"""
GOOD = """
def prepare(frame):
    return frame[["x"]] * 2.0

def train(train, validation, hyperparameters):
    return {"factor": float((train["y"] * train["x"]).sum() / (train["x"] ** 2).sum())}

def predict(model, frame):
    return frame["x"] * model["factor"]
"""
DATA = "x,c,y\n" + "".join(f"{i},{'ab'[i % 2]},{3 * i}\n" for i in range(1, 201))


@dataclass(frozen=True)
class Case:
    """What is wrong, in which function, and what the failure must say."""

    name: str
    step: str
    old: str
    new: str
    says: tuple[str, ...]


CASES = [
    Case("import", "check_data", "\ndef prepare", "\n1 / 0\ndef prepare", ("ZeroDivisionError",)),
    Case(
        "package",
        "check_data",
        "\ndef prepare",
        "\nimport surely_not_there\ndef prepare",
        ("needs the package 'surely_not_there'", "requirements.txt"),
    ),
    Case("raises", "check_data", 'frame[["x"]]', 'frame[["z"]]', ("KeyError", "line 3")),
    Case(
        "stateful",
        "check_data",
        '* 2.0',
        '/ frame["x"].mean()',
        ("prepare()", "must work row by row"),
    ),
    Case("drops", "check_data", '* 2.0', '.iloc[1:]'.strip(), ("must keep every row",)),
    Case("no frame", "check_data", 'return frame[["x"]] * 2.0', "return 1", ("not a frame",)),
    Case("raise", "train", "return {", "raise RuntimeError('no luck'); return {", ("no luck",)),
    Case("exits", "train", "return {", "import sys; sys.exit(3); return {", ("sys.exit(3)",)),
    Case("dies", "train", "return {", "import os; os._exit(0); return {", ("ended the process",)),
    Case(
        "killed",
        "train",
        "return {",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL); return {",
        ("was killed", "memory"),
    ),
    Case("nothing", "train", "return {", "{", ("returned nothing",)),
    Case(
        "unsaved",
        "train",
        "return {",
        "import fractions; return fractions.Fraction(1, 2) or {",
        ("returned a Fraction", "save(model, folder)"),
    ),
    Case("shape", "train", '* model["factor"]', '.head(1)', ("returned scores of shape (1,)",)),
    Case("not finite", "train", '* model["factor"]', '* float("nan")', ("no finite|not a finite",)),
]  # fmt: skip


@pytest.fixture(scope="module")
def good(census: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Jobs of a small project without a fault."""
    cold = replace(census, is_warm=False)
    return bench(cold, tmp_path_factory.mktemp("small"), GOOD)


def bench(like: Workbench, folder: Path, source: str, settings: str = SETTINGS) -> Workbench:
    """Jobs of a project of this source."""
    project = folder / "small"
    project.mkdir()
    (project / "model.py").write_text(source)
    (project / "model.yaml").write_text(settings)
    return replace(like, folder=folder, project=project)


@pytest.fixture(scope="module")
def entries(good: Workbench) -> list[dict[str, Any]]:
    """The object that all cases read."""
    return [good.land("incoming/small/rows.csv", DATA.encode())]


@pytest.fixture(scope="module")
def checked(good: Workbench, entries: list[dict[str, Any]]) -> Done:
    """The good project's check, which the training cases build on."""
    done = good.check(project_settings(good.project), entries)
    assert done.code == 0, done.log
    return done


def test_the_good_project_passes(good: Workbench, checked: Done) -> None:
    """A model of plain numbers is saved as JSON, loaded, and scores the holdout exactly."""
    settings = project_settings(good.project)
    trained = good.train(settings, checked)
    assert trained.code == 0, trained.log
    evaluated = good.evaluate(settings, checked, trained)
    assert evaluated.code == 0, evaluated.log
    metrics = evaluated.json("evaluation/evaluation.json")["perennial"]["metrics"]
    assert metrics["rmse"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_misbehaving_code_fails_with_a_clear_text(
    case: Case,
    good: Workbench,
    entries: list[dict[str, Any]],
    checked: Done,
    tmp_path: Path,
) -> None:
    """The failure names the function and what to do, within what SageMaker keeps."""
    assert case.old in GOOD
    bad = bench(replace(good, is_warm=True), tmp_path, GOOD.replace(case.old, case.new))
    settings = project_settings(bad.project)
    if case.step == "check_data":
        done = bad.check(settings, entries)
    else:
        done = bad.train(settings, checked)
    assert done.code == 1, done.log
    assert done.failure.startswith("ModelError: ")
    assert "of small" in done.failure
    assert len(done.failure) <= 1024
    for words in case.says:
        assert any(part in done.failure for part in words.split("|")), done.failure


def test_hanging_code_is_ended_and_its_line_named(
    good: Workbench, checked: Done, tmp_path: Path
) -> None:
    """A loop without end is ended before the job's own limit, and the failure says where it was."""
    began = time.monotonic()
    assert good.train(project_settings(good.project), checked, name="paced").code == 0
    # Twice what the same job takes today: imports alone are slow on a busy machine.
    limit = 5 + 2 * int(time.monotonic() - began)
    bad = bench(good, tmp_path, GOOD.replace("return {", "\n    while True: pass\n    return {"))
    began = time.monotonic()
    done = bad.train(project_settings(bad.project, train__max_seconds=limit), checked)
    assert done.code == 1
    assert time.monotonic() - began < limit + 5
    assert "train() in model.py of small did not end within its time limit" in done.failure
    assert "it was at model.py line" in done.failure
    assert "train.max_seconds" in done.failure


def test_megabytes_of_output_are_cut(good: Workbench, checked: Done, tmp_path: Path) -> None:
    """The log keeps the first megabyte and the last lines; the job goes on."""
    noise = 'for i in range(300_000): print("noise", i)\n    print("x" * 5_000_000)\n    '
    bad = bench(good, tmp_path, GOOD.replace("return {", noise + "return {"))
    done = bad.train(project_settings(bad.project), checked)
    assert done.code == 0, done.log[-2000:]
    assert len(done.log) < 1_200_000
    assert "left out" in done.log
    assert "rmse=" in done.log


def test_a_packed_wheel_is_installed_for_the_projects_code(
    good: Workbench,
    entries: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A processing job installs what its image lacks, from the wheelhouse, once per content."""
    monkeypatch.setenv("PERENNIAL_REQUIREMENTS_DIR", str(tmp_path / "packages"))
    source = "\nimport tinypack\nassert tinypack.ANSWER == 42\n" + GOOD
    own = bench(good, tmp_path, source)
    (own.project / "requirements.txt").write_text("tinypack==1.0\n")
    (own.project / "wheelhouse").mkdir()
    wheel = own.project / "wheelhouse" / "tinypack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tinypack.py", "ANSWER = 42\n")
        info = "tinypack-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinypack\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    for attempt, installs in (("first", 1), ("second", 0)):
        done = own.check(project_settings(own.project), entries, name=attempt)
        assert done.code == 0, done.log
        assert done.log.count("installing 1 packages") == installs
    data = tmp_path / "rows.csv"
    data.write_text(DATA)
    found = subprocess.run(
        [own.python, "-m", "jobs.check_project", own.project, data],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_packages_that_cannot_be_had_are_named(
    good: Workbench, entries: list[dict[str, Any]], tmp_path: Path
) -> None:
    """A requirement that no index has ends the job with its name."""
    bad = bench(good, tmp_path, GOOD)
    (bad.project / "requirements.txt").write_text("no-such-package-of-perennial==1.0\n")
    code = bad.unpacked()
    assert (code / "requirements.txt").read_text().endswith("no-such-package-of-perennial==1.0\n")
    done = bad.check(project_settings(bad.project), entries)
    assert done.code == 1
    assert done.failure.startswith("RequirementsError: cannot install no-such-package")


def test_wrong_settings_and_missing_inputs_are_named(good: Workbench) -> None:
    """A job whose settings cannot be read says so instead of a traceback."""
    base = good.folder / "broken"
    (base / "processing/input/settings").mkdir(parents=True)
    (base / "processing/input/settings/settings.json").write_text('{"problem": "guess"}')
    done = good.run("check_data", base)
    assert done.code == 1
    assert done.failure.startswith("SettingsError: settings.json of model: ")
    assert 'problem: found "guess"; expected binary' in done.failure


def test_stop_reaches_the_step(good: Workbench, checked: Done, tmp_path: Path) -> None:
    """SIGTERM ends the step's process too, and the message says that it was stopped."""
    reached = tmp_path / "reached"
    sleep = f"\n    import time; open({str(reached)!r}, 'w'); time.sleep(60)\n    return {{"
    bad = bench(good, tmp_path, GOOD.replace("return {", sleep))
    base = bad._base("stopped", project_settings(bad.project), "input/data/settings")
    shutil.copytree(checked.output("training"), base / "input/data/training")
    shutil.copytree(checked.output("check"), base / "input/data/check")
    process = subprocess.Popen(
        [bad.python, str(bad.unpacked() / "entry.py"), "--step", "train"],
        env={**os.environ, "SAGEMAKER_BASE_DIR": str(base)},
    )
    deadline = time.monotonic() + 60
    while not reached.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert (base / "output/message").read_text() == (
        "Stopped: the job was stopped during train() in model.py of small."
    )
