"""Runs a project that one of AWS's algorithms trains: our jobs, and the images' stand-ins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from perennial.domain.settings import Settings, parse_settings
from perennial.domain.training_job import CONTENT_TYPES, hyperparameters

from local.sagemaker.container.images import LINEAR_LEARNER, XGBOOST, Images
from tests.jobs.conftest import ROOT, Done, Workbench

IMAGES = {"xgboost": XGBOOST, "linear-learner": LINEAR_LEARNER}
LABELS = {
    "binary": {"type": "category", "levels": ["no", "yes"]},
    "multiclass": {"type": "category", "levels": ["low", "mid", "top"]},
    "regression": {"type": "float"},
}


def document(problem: str, train: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A model.yaml of a small project with a number, a gap, a category and a truth value."""
    return {
        "problem": problem,
        "label": "outcome",
        **({"positive": "yes"} if problem == "binary" else {}),
        "data": {
            "columns": {
                "size": {"type": "float"},
                "age": {"type": "float", "required": False},
                "colour": {"type": "category", "levels": ["red", "green", "blue"]},
                "member": {"type": "bool"},
                "outcome": LABELS[problem],
            },
        },
        "train": {"validation": 0.2, **train},
        **more,
    }


def rows_of(problem: str, count: int = 600) -> str:
    """Made rows, always the same, whose outcome follows size and colour."""
    lines = ["size,age,colour,member,outcome"]
    for n in range(count):
        size = (n * 37 % 101) / 10
        age = "" if n % 7 == 0 else str(20 + n * 13 % 41)
        colour = ("red", "green", "blue")[n * 5 % 3 if n % 2 else n % 3]
        value = 3 * size + (10 if colour == "red" else 0) + (n * 17 % 23) / 5
        outcome = {
            "binary": "yes" if value > 20 else "no",
            "multiclass": "low" if value < 12 else "mid" if value < 25 else "top",
            "regression": f"{value:.3f}",
        }[problem]
        lines.append(f"{size},{age},{colour},{'true' if n % 4 else 'false'},{outcome}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Bench:
    """One project on disk with the jobs' workbench."""

    work: Workbench
    settings: Settings
    place: Path

    @classmethod
    def of(
        cls, document: dict[str, Any], s3: Any, python: Path, place: Path, model: str = ""
    ) -> Bench:
        """Write a project; `model` is its model.py, if it has one."""
        project = place / "made"
        project.mkdir(parents=True)
        (project / "model.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        if model:
            (project / "model.py").write_text(model, encoding="utf-8")
        settings = parse_settings(document, project="made")
        return cls(Workbench(python, s3, place / "jobs", project), settings, place)

    def check(self, text: str) -> Done:
        """Check some rows."""
        entry = self.work.land(f"incoming/made/{self.place.name}.csv", text.encode())
        return self.work.check(self.settings, [entry])

    def train(self, checked: Done, **given: str) -> Done:
        """Train in the image of the settings; `given` are further hyperparameters."""
        base = self.work.folder / "container"
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(checked.output("channels"), base / "input/data")
        kind = CONTENT_TYPES[self.settings.train.input]
        channels = {path.name: {"ContentType": kind} for path in (base / "input/data").iterdir()}
        config = base / "input/config"
        config.mkdir(parents=True)
        (config / "inputdataconfig.json").write_text(json.dumps(channels), encoding="utf-8")
        values = {**hyperparameters(self.settings, "s3://b/c"), **given}
        (config / "hyperparameters.json").write_text(json.dumps(values), encoding="utf-8")
        images = Images(ROOT)
        image = images.shelf.find(IMAGES[self.settings.train.algorithm])
        assert image is not None
        place = images.environment(IMAGES[self.settings.train.algorithm])
        found = subprocess.run(
            [place / "bin" / "python", *image.train[1:], "train"],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(base), "PYTHONPATH": images.path()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        return Done(found.returncode, found.stdout.decode(errors="replace"), base)

    def explain(self, checked: Done, trained: Done) -> Done:
        """Explain what was trained."""
        evaluated = self.work.folder / "evaluate"
        base = self.work.folder / "explain"
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(evaluated / "processing/input", base / "processing/input")
        return self.work.run("explain", base)
