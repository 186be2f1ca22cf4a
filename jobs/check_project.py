"""A project's whole loop against local files, in one process and without a cloud.

`python -m jobs.check_project models/census data/adult-train.csv` runs the code of the jobs
themselves: check, train, evaluate, gates. It prints one JSON object a line on standard output;
what the project's code prints goes to standard error. Exit code 0: all gates kept; 1: refused,
failed or a gate lost; 2: the settings or the project are wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from perennial.domain.gates import judge_gates
from perennial.domain.judging import is_bias
from perennial.domain.project import find_model_mistakes, join_requirements
from perennial.domain.settings import (
    Settings,
    SettingsInvalid,
    apply_overrides,
    parse_settings,
)
from perennial.domain.training_job import reads_tables

from jobs import environment
from jobs.casting import read_schema
from jobs.check_data import Outputs, check, copy_local
from jobs.check_report import CheckResult
from jobs.contract import Project
from jobs.evaluate import evaluate
from jobs.failures import JobError, ModelError, RequirementsError
from jobs.train import train

PASSED, LOST, INVALID = 0, 1, 2


class Progress:
    """Says what happens, a line of JSON each."""

    def __init__(self, sink: IO[str]) -> None:
        self.sink = sink

    def say(self, step: str, **facts: Any) -> None:
        """Write one line."""
        self.sink.write(json.dumps({"step": step, **facts}, ensure_ascii=False) + "\n")
        self.sink.flush()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Say that a step starts, and how it ended; the body fills in its facts."""
        self.say(name, status="started")
        began = time.monotonic()
        facts: dict[str, Any] = {}
        try:
            yield facts
        except Exception as error:
            seconds = round(time.monotonic() - began, 3)
            kind = type(error).__name__
            self.say(name, status="failed", seconds=seconds, words=str(error), error=kind)
            raise
        self.say(name, status="done", seconds=round(time.monotonic() - began, 3), **facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a project as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--keep", type=Path, help="leave the outputs in this folder")
    given = parser.parse_args(arguments)
    # The project's prints must not disturb the lines of JSON, also those of C libraries.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)
        progress = Progress(lines)
        try:
            settings, project = load(progress, given.project, given.overrides)
        except (SettingsInvalid, ModelError, RequirementsError):
            return INVALID
        with tempfile.TemporaryDirectory(prefix="perennial-check-") as temporary:
            folder = given.keep or Path(temporary)
            try:
                return loop(progress, settings, project, given.files, folder)
            except JobError as error:
                progress.say("result", passed=False, words=str(error))
                return LOST


def load(progress: Progress, folder: Path, overrides: Sequence[str]) -> tuple[Settings, Project]:
    """The project's settings with overrides, and its code."""
    name = folder.resolve().name
    with progress.step("settings") as facts:
        settings = read_project_settings(folder, name)
        if overrides:
            pairs = dict(entry.partition("=")[::2] for entry in overrides)
            settings = apply_overrides(settings, pairs, scope="push")
        try:
            source = (folder / "model.py").read_text(encoding="utf-8")
            algorithm, image = settings.train.algorithm, settings.train.image
            mistakes = find_model_mistakes(source, algorithm=algorithm, image=image)
        except OSError:
            mistakes = [] if settings.train.algorithm else [f"project {name} has no model.py"]
        if mistakes:
            raise ModelError("; ".join(mistakes))
        install_requirements(folder, name)
        project = Project.of(settings, folder.resolve())
        facts["words"] = (
            f"{settings.problem}: predict {settings.label} from {len(settings.features)} columns"
        )
    return settings, project


def install_requirements(folder: Path, name: str) -> None:
    """Put the packages that the project itself asks for behind those of the jobs' lock."""
    own = folder / "requirements.txt"
    if not own.exists():
        return
    lock = Path(__file__).with_name("requirements.txt").read_text(encoding="utf-8")
    try:
        joined = join_requirements(lock, own.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"project {name}: {error}") from None
    with tempfile.TemporaryDirectory(prefix="requirements-") as root:
        (Path(root) / "requirements.txt").write_text(joined, encoding="utf-8")
        if (folder / "wheelhouse").is_dir():
            (Path(root) / "wheelhouse").symlink_to((folder / "wheelhouse").resolve())
        packages = environment.ensure(Path(root))
    if packages:
        sys.path.append(str(packages))


def read_project_settings(folder: Path, name: str) -> Settings:
    """Parse model.yaml; a file that is missing or no YAML is a mistake like any other."""
    try:
        document = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(f"model.yaml of {name} cannot be read: {error}") from None
    return parse_settings(document, project=name, file=str(folder / "model.yaml"))


def loop(
    progress: Progress, settings: Settings, project: Project, files: Sequence[Path], folder: Path
) -> int:
    """Check, train, evaluate and judge; the exit code."""
    folders = ("check", "training", "holdout", "channels")
    outputs = Outputs(*(_made(folder / name) for name in folders))
    with progress.step("check_data") as facts:
        with tempfile.TemporaryDirectory(prefix="objects-") as copies:
            checked = check(settings, project, copy_local(files, Path(copies)), outputs)
        facts |= {"words": checked.words, **checked.summary()}
    if checked.refused:
        _result(progress, checked, words=checked.words)
        return LOST
    if reads_tables(settings.train):
        trainer = settings.train.algorithm or settings.train.image
        words = (
            f"the data and prepare() are good, and the tables for {trainer} can be written. It "
            "trains in a container of its own: push the project to see its figures"
        )
        _result(progress, checked, words=words, passed=True)
        return PASSED
    schema = read_schema(outputs.check / "schema.json")
    model = _made(folder / "model")
    with progress.step("train") as facts:
        figures = train(settings, project, schema, outputs.training / "rows.parquet", model)
        facts |= {"metrics": figures}
    with progress.step("evaluate") as facts:
        rows = outputs.holdout / "rows.parquet"
        document = evaluate(settings, project, model, rows, _made(folder / "evaluation"))
        metrics = document["perennial"]["metrics"]
        facts |= {"metrics": metrics}
    judged = tuple(gate for gate in settings.gates if not is_bias(gate.metric))
    results = judge_gates(judged, metrics)
    passed = all(result.passed for result in results)
    failed = [result.words for result in results if not result.passed]
    words = "; ".join(failed) or _kept_words(len(results))
    if len(judged) < len(settings.gates):
        words += f"; {len(settings.gates) - len(judged)} on bias are judged in a run only"
    with progress.step("judge") as facts:
        facts |= {"words": words, "passed": passed}
    gates = [result.to_json() for result in results]
    _result(progress, checked, words=words, passed=passed, metrics=metrics, gates=gates)
    return PASSED if passed else LOST


def _kept_words(gates: int) -> str:
    if not gates:
        return "no gate to keep"
    return "the gate is kept" if gates == 1 else f"all {gates} gates are kept"


def _result(progress: Progress, checked: CheckResult, *, words: str, **facts: Any) -> None:
    report = checked.report()
    facts = {"passed": False, "metrics": {}, "gates": [], **facts}
    found = {name: report[name] for name in ("rows", "objects", "leaks", "conflicts")}
    progress.say("result", words=words, **found, **facts)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
