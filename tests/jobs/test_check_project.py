"""The whole loop of a project in one process, projects started from a CSV, and packing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from perennial.domain.project import ProjectInvalid
from perennial.domain.settings import parse_settings
from perennial.pack_project import pack_project
from perennial.scaffold import CannotScaffold, scaffold

from tests.jobs.conftest import ADULT, ROOT


def check(python: Path, *arguments: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """Run `python -m jobs.check_project`: exit code, its lines, and standard error."""
    found = subprocess.run(
        [python, "-m", "jobs.check_project", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return found.returncode, [json.loads(line) for line in found.stdout.splitlines()], found.stderr


@pytest.fixture(scope="module")
def abalone_csv(abalone: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UCI Abalone with a header, as a file."""
    path = tmp_path_factory.mktemp("data") / "abalone.csv"
    path.write_text(abalone)
    return path


def test_abalone_passes_its_gates(jobs_python: Path, abalone_csv: Path) -> None:
    """A regression on genuine data: RMSE about 2.1, and every step is told with its time."""
    code, lines, errors = check(jobs_python, ROOT / "models/abalone", abalone_csv)
    assert code == 0, errors
    done = [line["step"] for line in lines if line.get("status") == "done"]
    assert done == ["settings", "check_data", "train", "evaluate", "judge"]
    result = lines[-1]
    assert result["step"] == "result"
    assert result["passed"]
    assert 1.7 < result["metrics"]["rmse"] < 2.5
    assert result["rows"]["good"] == 4177
    assert [gate["name"] for gate in result["gates"]] == ["rmse.max", "r2.min"]


def test_a_leak_and_a_contradiction_are_told(jobs_python: Path, tmp_path: Path) -> None:
    """Before anything is pushed: what a person should look at in the data. Gates on bias wait."""
    from tests.jobs.test_sources import MODEL, SETTINGS, project, text

    leaky = SETTINGS.replace("    y: {", "    z: {type: category, open: true}\n    y: {")
    leaky = leaky.replace("auc: {min: 0.5}", 'auc: {min: 0}, "DPPL:c=a": {min: -0.2, max: 0.2}')
    folder = project(tmp_path / "small", MODEL, leaky)
    rows = [f"{i},{'ab'[i // 2 % 2]},{'nj'[i % 2]},{('no', 'yes')[i % 2]}" for i in range(200)]
    data = tmp_path / "rows.csv"
    data.write_bytes(text("x,c,z,y", *rows, "1,a,j,yes", "2,b,n,yes", "2,b,n,no"))
    code, lines, errors = check(jobs_python, folder, data)
    assert code == 0, errors
    result = lines[-1]
    assert result["conflicts"]["rows"] == 3
    assert result["leaks"] == []
    assert result["words"] == "the gate is kept; 2 on bias are judged in a run only"
    data.write_bytes(text("x,c,z,y", *rows))
    assert [each["feature"] for each in check(jobs_python, folder, data)[1][-1]["leaks"]] == ["z"]


def test_an_unreachable_gate_loses(jobs_python: Path, abalone_csv: Path) -> None:
    """The other ending: exit code 1 and the figure that was missed."""
    code, lines, _ = check(
        jobs_python, ROOT / "models/abalone", abalone_csv, "--set", "gates.rmse.max=0.1"
    )
    assert code == 1
    assert not lines[-1]["passed"]
    assert "is not at most 0.1" in lines[-1]["words"]


def test_a_damaged_file_is_told_and_the_rest_goes_on(
    jobs_python: Path, abalone_csv: Path, tmp_path: Path
) -> None:
    """The data scientist sees the reason and the first bad line."""
    bad = tmp_path / "bad.csv"
    bad.write_text(abalone_csv.read_text().splitlines()[0] + "\nX,1,1,1,1,1,1,1,5\n")
    code, lines, _ = check(jobs_python, ROOT / "models/abalone", abalone_csv, bad)
    assert code == 0
    (entry,) = [e for e in lines[-1]["objects"] if e["quarantined"]]
    assert entry["key"] == str(bad)
    assert entry["first_bad"][0]["column"] == "sex"
    assert bad.exists()


def test_wrong_settings_end_with_two(jobs_python: Path, abalone_csv: Path, tmp_path: Path) -> None:
    """Every mistake on the last line; nothing ran."""
    folder = tmp_path / "abalone"
    shutil.copytree(ROOT / "models/abalone", folder)
    text = (folder / "model.yaml").read_text().replace("problem: regression", "problem: guess")
    (folder / "model.yaml").write_text(text)
    code, lines, _ = check(jobs_python, folder, abalone_csv)
    assert code == 2
    assert lines[-1]["status"] == "failed"
    assert 'problem: found "guess"' in lines[-1]["words"]


@pytest.mark.parametrize(
    ("line", "words"),
    [("numpy==1.0.0", "the jobs run with numpy==2.2.6"), ("tinypack", "pins no version")],
)
def test_wrong_requirements_end_with_two(
    jobs_python: Path, abalone_csv: Path, tmp_path: Path, line: str, words: str
) -> None:
    """What `push` would refuse, `check` refuses too."""
    folder = tmp_path / "abalone"
    shutil.copytree(ROOT / "models/abalone", folder)
    (folder / "requirements.txt").write_text(line + "\n")
    code, lines, _ = check(jobs_python, folder, abalone_csv)
    assert code == 2
    assert words in lines[-1]["words"]


def test_prints_of_the_project_do_not_disturb_the_lines(
    jobs_python: Path, abalone_csv: Path, tmp_path: Path
) -> None:
    """Standard output is JSON only, whatever model.py prints."""
    folder = tmp_path / "abalone"
    shutil.copytree(ROOT / "models/abalone", folder)
    source = (folder / "model.py").read_text()
    (folder / "model.py").write_text(source + "\nimport os\nprint('hello')\nos.write(1, b'raw')\n")
    code, _, errors = check(jobs_python, folder, abalone_csv)
    assert code == 0
    assert "hello" in errors
    assert "raw" in errors


def test_a_scaffold_of_genuine_data_passes_at_once(
    jobs_python: Path, adult: str, tmp_path: Path
) -> None:
    """`init` on Adult finds label, facets and types, and its project runs as it is."""
    data = tmp_path / "people.csv"
    data.write_text("\n".join(adult.splitlines()[:6001]) + "\n")
    made = scaffold(data, "people", tmp_path)
    assert (made.label, made.problem, made.header, made.rows) == ("income", "binary", True, 6000)
    assert made.facets == ["age", "marital_status", "race", "sex"]
    types = {name: kind for name, kind, _ in made.columns}
    assert (types["age"], types["workclass"]) == ("int", "category")
    document = yaml.safe_load((made.folder / "model.yaml").read_text())
    assert document["positive"] == ">50K"
    assert document["data"]["missing"] == ["?"]
    code, lines, errors = check(jobs_python, made.folder, data)
    assert code == 0, errors
    assert lines[-1]["metrics"]["auc"] > 0.9


def test_a_scaffold_without_header_numbers_its_columns(mirror: Path, tmp_path: Path) -> None:
    """UCI's abalone.csv as it is: no header, the rings last, a regression."""
    made = scaffold(mirror / "abalone.csv", "shells", tmp_path)
    assert (made.header, made.label, made.problem) == (False, "column_9", "regression")
    document = yaml.safe_load((made.folder / "model.yaml").read_text())
    assert parse_settings(document, project="shells").data.columns[0].levels == ("F", "I", "M")


def test_a_scaffold_of_several_classes_and_odd_names(jobs_python: Path, tmp_path: Path) -> None:
    """Semicolons, dates, truth values, dashes for missing, names with blanks: all guessed."""
    rows = [
        f"{i % 7}.5;2026-01-{1 + i % 28:02};{'yes' if i % 2 else 'no'};{'-' if i % 9 == 0 else i};"
        f"{'-' if i % 5 else 'x'};id-{i};{'abc'[i % 3]}"
        for i in range(600)
    ]
    data = tmp_path / "odd.csv"
    data.write_text("a size;day;on?;count: all;mark;name;kind\n" + "\n".join(rows) + "\n")
    made = scaffold(data, "odd", tmp_path)
    types = {name: kind for name, kind, _ in made.columns}
    assert types == {
        "a size": "float",
        "day": "date",
        "on?": "bool",
        "count: all": "int",
        "mark": "category",
        "name": "string",
        "kind": "category",
    }
    assert made.problem == "multiclass"
    code, lines, errors = check(jobs_python, made.folder, data, "--set", "gates={}")
    assert code == 0, (lines[-1], errors)
    assert lines[-1]["rows"]["good"] == 600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no rows"),
        ("a\n1\n", "one column only"),
        ("a,b\n", "a header and no rows"),
        ("a,a\n1,x\n2,y\n", "twice"),
        ("a,b\n1,x\n2,x\n", "one value only"),
        ("a,b\n" + "".join(f"{i},text {i}\n" for i in range(99)), "cannot be a label"),
    ],
)
def test_files_that_teach_nothing_are_refused(text: str, words: str, tmp_path: Path) -> None:
    """The message says what is wrong, and nothing is written."""
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(CannotScaffold, match=words):
        scaffold(tmp_path / "x.csv", "model", tmp_path)
    assert not (tmp_path / "model").exists()


def test_an_existing_project_is_not_overwritten(tmp_path: Path) -> None:
    """Work of hours is not lost to a repeated `init`."""
    (tmp_path / "x.csv").write_text(f"{ADULT}\n")
    (tmp_path / "mine").mkdir()
    with pytest.raises(CannotScaffold, match="exists already"):
        scaffold(tmp_path / "x.csv", "mine", tmp_path)


def test_packing_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    """Other times, other owner, another place: the same code."""
    one, other = tmp_path / "one" / "census", tmp_path / "other" / "census"
    for folder in (one, other):
        shutil.copytree(ROOT / "models/census", folder)
    os.utime(other / "model.py", (0, 0))
    (other / "__pycache__").mkdir(exist_ok=True)
    (other / "__pycache__" / "model.pyc").write_bytes(b"x")
    (other / ".git").mkdir()
    assert pack_project(one).body == pack_project(other).body
    (other / "model.py").write_text((other / "model.py").read_text() + "\n")
    assert pack_project(one).sha256 != pack_project(other).sha256


def test_archive_holds_what_a_job_needs() -> None:
    """Entry point, lock, jobs, domain, project; nothing else of ours."""
    files = pack_project(ROOT / "models/census").files
    assert {"entry.py", "requirements.txt", "project/model.py", "jobs/train.py"} <= set(files)
    assert "perennial/domain/settings.py" in files
    assert not [name for name in files if name.startswith("perennial/aws")]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "model.py").unlink(), "model.py is missing"),
        (lambda f: (f / "model.yaml").unlink(), "model.yaml is missing"),
        (lambda f: (f / "model.py").write_text("def prepare(frame): 1"), "no function train"),
        (lambda f: (f / "link").symlink_to("/etc/hostname"), "outside the project"),
        (lambda f: (f / "requirements.txt").write_text("numpy==1.0"), "numpy==2.2.6"),
        (lambda f: os.truncate(_touched(f / "big.bin"), 101 << 20), "big.bin has 101 MiB"),
    ],
)
def test_projects_that_cannot_run_are_not_packed(spoil: Any, words: str, tmp_path: Path) -> None:
    """Found on the laptop, not by a job."""
    folder = tmp_path / "census"
    shutil.copytree(ROOT / "models/census", folder)
    spoil(folder)
    with pytest.raises(ProjectInvalid, match=words):
        pack_project(folder)


def test_isolated_jobs_need_wheels(tmp_path: Path) -> None:
    """A job without a network could install nothing, and would say so much later."""
    folder = tmp_path / "census"
    shutil.copytree(ROOT / "models/census", folder)
    with pytest.raises(ProjectInvalid, match=r"no wheelhouse/ from which they could install"):
        pack_project(folder, is_isolated=True)
    (folder / "wheelhouse").mkdir()
    _touched(folder / "wheelhouse" / "six-1.17.0-py2.py3-none-any.whl")
    assert (
        "wheelhouse/six-1.17.0-py2.py3-none-any.whl" in pack_project(folder, is_isolated=True).files
    )


def _touched(path: Path) -> Path:
    path.touch()
    return path
