"""Several models behind one real server: each by its own archive, as a release packs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.datasets import synthetic_dataset
from jobs.digests import MODEL_VARIABLE, WrongFiles
from jobs.environment import imported_otherwise
from jobs.failures import RequirementsError
from jobs.shared import bring_packages, check_code
from tests.jobs.conftest import example
from tests.jobs.model_server import ModelServer, serving
from tests.jobs.shared_models import lay_server, released, variables, variant, write_wheel
from tests.jobs.test_serving import Case, check_prediction, make, unpacked


@pytest.fixture(scope="module")
def case(jobs_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The smallest model, trained once."""
    place = tmp_path_factory.mktemp("salary")
    data = place / "data.csv"
    (table,) = synthetic_dataset("salary").tables
    data.write_text(table.text())
    return make("salary", data, place / "kept", jobs_python)


@dataclass(frozen=True)
class Shelf:
    """A server of several models, and two of them: salary 7, and wages 3, which pays more."""

    server: ModelServer
    place: Path
    case: Case

    def load(self, folder: Path) -> int:
        """Have a model loaded by its folder's name; the status of the answer."""
        asked = json.dumps({"model_name": folder.parent.name, "url": str(folder)})
        return self.server.ask("POST", "/models", asked).status

    def ask(self, name: str, body: str) -> Any:
        """Ask a loaded model."""
        return self.server.ask("POST", f"/models/{name}/invoke", body, content_type="text/csv")

    def models(self) -> dict[str, tuple[Path, dict[str, str]]]:
        """Name, files and variables of both."""
        wages = self.place / "wages-files"
        if not wages.exists():
            variant(self.case.place / "model", wages, "wages", RAISED)
        both = {"salary": (self.case.place / "model", "7"), "wages": (wages, "3")}
        return {
            name: (model, variables(model, self.case.code, name, version))
            for name, (model, version) in both.items()
        }

    def released(self, name: str, place: str, **told: str | None) -> Path:
        """One of them as its server finds it, some of its variables changed."""
        model, variables = self.models()[name]
        given = {k: v for k, v in {**variables, **told}.items() if v is not None}
        return released(model, self.case.code, given, self.place / place)


RAISED = 1000.0


@pytest.fixture(scope="module")
def shelf(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Its server has no code but serve.py, and no variable of any model."""
    place = tmp_path_factory.mktemp("shelf")
    code = lay_server(case.place / "model", case.code, place)
    several = {"SAGEMAKER_MULTI_MODEL": "true"}
    with serving(place, code, python=case.python, variables=several) as server:
        yield Shelf(server, place, case)


def test_several_models_answer_each_by_name_and_version(shelf: Shelf) -> None:
    """From archives as a release packs them; a refusal keeps its status."""
    case = shelf.case
    assert shelf.load(shelf.released("salary", "salary")) == 200, shelf.server.text()
    assert shelf.load(shelf.released("wages", "wages")) == 200, shelf.server.text()
    for row, (score,) in list(zip(case.rows, case.scores, strict=True))[:5]:
        one, other = (shelf.ask(name, case.line(row)).json for name in ("salary", "wages"))
        assert (one["model"], one["version"]) == ("salary", 7)
        assert (other["model"], other["version"]) == ("wages", 3)
        check_prediction(case, one["predictions"][0], [score])
        check_prediction(case, other["predictions"][0], [score + RAISED])
    bad = shelf.ask("wages", "x")
    assert (bad.status, bad.json["row"]) == (400, 1)


def test_a_shared_model_that_was_not_judged_does_not_load(shelf: Shelf) -> None:
    """Each is refused by name, the log says why, and the server goes on with the others."""
    other = shelf.released("salary", "swapped")
    shutil.copyfile(shelf.models()["wages"][0] / "model.json", other / "model.json")
    changed = shelf.released("salary", "changed")
    (changed / "code" / "project" / "model.py").write_text("x = 1")
    bare = shelf.released("salary", "bare")
    shutil.rmtree(bare / "code")
    lost = shelf.released("salary", "lost")
    (lost / "perennial.json").unlink()
    spoilt = shelf.released("salary", "spoilt")
    (spoilt / "perennial.json").write_text('{"environment": 1}')
    none: dict[str, str | None] = {MODEL_VARIABLE: None}
    for folder, words in (
        (other, "is not the one that was judged"),
        (changed, f"the code in {changed / 'code'} is not the one that was judged"),
        (bare, f"the model in {bare} has no code of its own"),
        (lost, f"the model in {lost} has no perennial.json"),
        (spoilt, f"{spoilt}/perennial.json cannot be read: perennial.json is not"),
        (shelf.released("salary", "unnamed", **none), f"the variable {MODEL_VARIABLE} is not set"),
        (shelf.released("salary", "b", PERENNIAL_VERSION=""), "does not say which model's which"),
        (shelf.released("salary", "c", PERENNIAL_VERSION="x"), "does not say which model's which"),
        (shelf.released("salary", "d", PERENNIAL_MODEL_NAME="wages"),
         "the archive of wages 7 holds model salary"),
    ):  # fmt: skip
        assert shelf.load(folder) == 500
        assert words in shelf.server.text()
    assert shelf.load(shelf.released("wages", "after")) == 200, shelf.server.text()


def test_a_shared_model_brings_its_code_and_its_packages(case: Case, tmp_path: Path) -> None:
    """Its own code comes before the server's, and what its lock asks for before what the image
    has; packages that cannot be installed are words. Refusals are the toolkit's own errors."""
    source = tmp_path / "salary"
    shutil.copytree(example("salary"), source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "requirements.txt").write_text("perennialtiny==1.0\n")
    write_wheel(source / "wheelhouse", "perennialtiny", "1.0", "SAYS = 'brought'\n")
    model, packages = case.place / "model", tmp_path / "packages"
    server, toolkit = lay_server(model, case.code, tmp_path / "server"), tmp_path / "toolkit"
    toolkit.mkdir()
    (toolkit / "sagemaker_inference.py").write_text(TOOLKIT)
    asked = [case.python, "-c", LOAD, case.line(case.rows[0])]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{server}:{toolkit}",
        "SAGEMAKER_MULTI_MODEL": "true",
        "PERENNIAL_REQUIREMENTS_DIR": str(packages),
    }
    for place, says in (("whole", "brought"), ("lacking", "cannot install perennialtiny==1.0")):
        code = unpacked(source, tmp_path / f"code-{place}")
        told = variables(model, code, "salary", "7")
        folder = released(model, code, told, tmp_path / place)
        done = subprocess.run(
            [*asked, folder], env=environment, capture_output=True, text=True, check=False
        )
        found = done.stdout.splitlines()[-1] if done.returncode == 0 else done.stderr
        assert says in found
        if place == "whole":
            assert str(folder / "code" / "jobs" / "served.py") in found
            assert json.loads(done.stdout.splitlines()[-3])["version"] == 7
            assert done.stdout.splitlines()[-2].startswith('400 {"error": "row 1 has ')
            (made,) = packages.iterdir()
            assert (made / "perennialtiny.py").exists()
        else:
            assert done.returncode == 1
        shutil.rmtree(packages, ignore_errors=True)
        shutil.rmtree(source / "wheelhouse")
        (source / "wheelhouse").mkdir()
        (source / "wheelhouse" / "README").write_text("nothing")


#: The image's error with a status, as far as its server and ours use it.
TOOLKIT = """
import sys
class BaseInferenceToolkitError(Exception):
    def __init__(self, status_code, message, phrase):
        self.status_code, self.message, self.phrase = status_code, message, phrase
errors = sys.modules["sagemaker_inference.errors"] = sys.modules[__name__]
"""
#: What the image's server does with a model, from the module that it has imported itself.
LOAD = """
import sys, serve
row, folder = sys.argv[1:]
model = serve.model_fn(folder)
print(serve.transform_fn(model, row, "text/csv", None)[0])
import perennialtiny, jobs.served
from sagemaker_inference.errors import BaseInferenceToolkitError
try:
    serve.transform_fn(model, "x", "text/csv", None)
except BaseInferenceToolkitError as error:
    print(error.status_code, error.message)
print(perennialtiny.SAYS, jobs.served.__file__)
"""


def test_packages_that_come_too_late_are_refused(tmp_path: Path) -> None:
    """What the process has imported in another version stays; what it has not does not matter."""
    assert yaml.__name__ in sys.modules
    lock = f"# a lock\nPyYAML==0.1\npytest=={pytest.__version__}\nperennial_nowhere==2\n"
    assert imported_otherwise(lock) == ["PyYAML==0.1"]
    assert imported_otherwise("perennial_nowhere==2\n") == []
    (tmp_path / "requirements.txt").write_text(lock)
    with pytest.raises(RequirementsError, match=r"needs PyYAML==0\.1; this server has imported"):
        bring_packages(tmp_path)


def test_a_process_serves_one_model_only(tmp_path: Path) -> None:
    """Python keeps the code that it imported first, so a second model's own would not run."""
    with pytest.raises(WrongFiles, match=f"the model's own lies in {tmp_path}"):
        check_code(tmp_path)
